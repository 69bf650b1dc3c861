#!/usr/bin/env bash
# usage: bench/peers.sh [MODEL...]       (make bench-peers)
#
# Training steps and inferences of the engine and of PyTorch in turn, ROUNDS (3) times, SECONDS_EACH (5) each, on
# THREADS (all cores): JSON lines on stdout, then a table of medians. PyTorch runs at its best: OpenBLAS, sleeping
# threads for training, both kinds of waiting for inference (the better one counts), no page given back to the
# kernel. PYTHON names another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-/usr/bin/python3}
rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-5} threads=${THREADS:-$(nproc)}
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
make --no-print-directory -s build/release/bench/bench_train >&2

engine() { build/release/bench/bench_train --threads "$threads" --seconds "$seconds" "$@"; }

rival() { # POLICY ARGUMENT...
    local policy=$1
    shift
    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OMP_WAIT_POLICY="$policy" MALLOC_MMAP_MAX_=0 \
        MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456 \
        "$python" bench/peers_torch.py --threads "$threads" --seconds "$seconds" "$@"
}

for work in "vgg11 64" "small 64" "small 1" "vgg11 1 --infer" "vgg11 64 --infer" "small 1 --infer" \
    "small 64 --infer"; do
    read -r model batch infer <<<"$work"
    [ $# = 0 ] || [[ " $* " == *" $model "* ]] || continue
    for _ in $(seq "$rounds"); do
        engine --model "$model" --batch "$batch" ${infer:+"$infer"}
        rival passive --model "$model" --batch "$batch" ${infer:+"$infer"}
        [ -z "$infer" ] || rival active --model "$model" --batch "$batch" "$infer"
    done
done | tee "$lines"
"$python" bench/peers_table.py "$lines"
