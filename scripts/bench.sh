#!/usr/bin/env bash
# usage: bench.sh PROGRAM...
# Runs bench programs from the repository root. First one JSON line that says which machine and which
# commit the numbers are of; then each program's own JSON lines.
set -euo pipefail
cd "$(dirname "$0")/.."

cpu=$(sed -nE 's/^(model name|Model)[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
printf '{"machine": "%s, %s of %s cores, %s GB, Linux %s %s", "commit": "%s", "load": %s}\n' \
    "${cpu:-unknown CPU}" "$(nproc)" "$(nproc --all)" \
    "$(awk '/^MemTotal/ {printf "%.0f", $2 / 1e6}' /proc/meminfo)" \
    "$(uname -r)" "$(uname -m)" "$commit" "$(cut -d' ' -f1 /proc/loadavg)"
for program in "$@"; do
    "$program"
done
