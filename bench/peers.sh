#!/usr/bin/env bash
# usage: bench/peers.sh [MODEL...]       (make bench-peers)
#
# Training steps and inferences of the engine and of PyTorch in turn, and for the detectors of Debian's darknet too,
# ROUNDS (3) times, SECONDS_EACH (5) each, on THREADS (all cores; darknet has one): JSON lines on stdout, then a table
# of medians. PyTorch runs at its best: OpenBLAS, sleeping threads for training, both kinds of waiting for inference
# and for detectors each of three ways to run them (the best one counts), no page given back to the kernel. PYTHON
# names another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-/usr/bin/python3}
rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-5} threads=${THREADS:-$(nproc)}
folder=$(mktemp -d)
lines=$folder/lines
trap 'rm -rf "$folder"' EXIT
make --no-print-directory -s build build/release/bench/bench_train >&2

engine() { build/release/bench/bench_train --threads "$threads" --seconds "$seconds" "$@"; }

missing() { echo "peers: no $1 here, its rows are left out (make bench-peers installs it)" >&2; }

have_torch=1
"$python" -c 'import torch' 2>/dev/null || { have_torch= && missing "PyTorch for $python"; }
have_darknet=1
[ -e /usr/lib/darknet/libdarknet.so ] || { have_darknet= && missing darknet; }

rival() { # POLICY ARGUMENT...
    [ -n "$have_torch" ] || return 0
    local policy=$1
    shift
    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OMP_WAIT_POLICY="$policy" MALLOC_MMAP_MAX_=0 \
        MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456 \
        "$python" bench/peers_torch.py --threads "$threads" --seconds "$seconds" "$@"
}

# darknet's .cfg at 416 x 416 and weights of our making.
darknets() { # MODEL
    [ -n "$have_darknet" ] || return 0
    local cfg=/usr/share/darknet/cfg/$1.cfg
    if [ ! -e "$folder/$1.weights" ]; then
        sed -E 's/^(width|height)=.*/\1=416/' "$cfg" >"$folder/$1.cfg"
        build/sparse-engine init --model "$1" --seed 1 --save "$folder/$1.safetensors" >&2
        build/sparse-engine convert "$folder/$1.safetensors" "$folder/$1.weights" --model "$1" >&2
    fi
    "$python" bench/peers_darknet.py "$1" "$folder/$1.cfg" "$folder/$1.weights" "$seconds" 2>/dev/null
}

for work in "vgg11 64" "small 64" "small 1" "vgg11 1 --infer" "vgg11 64 --infer" "small 1 --infer" \
    "small 64 --infer" "yolov3-tiny 1 --infer" "yolov3 1 --infer"; do
    read -r model batch infer <<<"$work"
    [ $# = 0 ] || [[ " $* " == *" $model "* ]] || continue
    for _ in $(seq "$rounds"); do
        engine --model "$model" --batch "$batch" ${infer:+"$infer"}
        if [[ $model = yolo* ]]; then
            for mode in eager channels_last frozen; do
                rival passive --model "$model" --batch "$batch" "$infer" --mode $mode
                rival active --model "$model" --batch "$batch" "$infer" --mode $mode
            done
            darknets "$model"
            continue
        fi
        rival passive --model "$model" --batch "$batch" ${infer:+"$infer"}
        [ -z "$infer" ] || rival active --model "$model" --batch "$batch" "$infer"
    done
done | tee "$lines"
"$python" bench/peers_table.py "$lines"
