#!/usr/bin/env bash
# The detectors at 416 x 416, batch 1, beside PyTorch (each of its ways to run) and darknet in one run, in turn:
# bench/peers.sh's rows for them, JSON lines on stdout and the table of medians on stderr. What of the two is not
# installed is named and left out; `make bench-peers` installs both.
set -euo pipefail
cd "$(dirname "$0")/.."
ROUNDS=${ROUNDS:-2} SECONDS_EACH=${SECONDS_EACH:-3} bench/peers.sh yolov3-tiny yolov3 |
    while IFS= read -r line; do
        case $line in "{"*) echo "$line" ;; *) echo "$line" >&2 ;; esac
    done
