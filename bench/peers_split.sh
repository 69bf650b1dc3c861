#!/usr/bin/env bash
# usage: bench/peers_split.sh [MODEL...]       (part of make bench-peers)
#
# Training split over processes on loopback, the engine and the original's way (PyTorch, pickles over one
# connection a task: peers_split.py) in turn, ROUNDS (3) times: JSON lines. PyTorch runs at its best settings.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-/usr/bin/python3} rounds=${ROUNDS:-3}
[ $# -gt 0 ] || set -- small vgg11
for model in "$@"; do
    seconds=4
    [ "$model" = small ] || seconds=12
    for _ in $(seq "$rounds"); do
        ROUNDS=1 bench/bench_split.sh "$model"
        for suite in source-final source-intermediate-final; do
            env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OMP_WAIT_POLICY=passive MALLOC_MMAP_MAX_=0 \
                MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456 \
                "$python" bench/peers_split.py --model "$model" --suite $suite --seconds $seconds
        done
    done
done
