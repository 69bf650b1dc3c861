#!/usr/bin/env bash
# Training split over processes on loopback, as the original's suites, beside all-in-one: samples/s as the
# program's own summary says them, the median of ROUNDS (3) rounds in which the suites take turns. `vs_aio` is the
# ratio to all-in-one in the same run, `original` the original's figure for the same suite on another machine
# (its best settings, batch 64). One JSON line a suite.
#
#     bench_split.sh [MODEL...]      small and vgg11 by default
#
# SUITES names some of them. MICRO_BATCHES=K: of those that are split, and of one more, aio-micro. BATCHES and ENGINE
# stand in place of the usual ones.
set -euo pipefail
cd "$(dirname "$0")/.."
engine=${ENGINE:-build/sparse-engine} rounds=${ROUNDS:-3} micro=${MICRO_BATCHES:-1}
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
unset MASTER_UPSTREAM_HOST MASTER_UPSTREAM_PORT WORKER_LISTEN_ADDRESS WORKER_LISTEN_PORT

start_worker() { # NAME ARGUMENT...: its port in $port
    local log=$work/$1.log
    shift
    : >"$log"
    "$engine" train --listen 127.0.0.1:0 "$@" >"$log" 2>&1 &
    until grep -q 'RX pipe listening' "$log"; do
        kill -0 $! || { cat "$log" >&2 && exit 1; }
        sleep 0.05
    done
    port=$(sed -n 's/.*RX pipe listening on .*:\([0-9]*\)$/\1/p' "$log")
}

measure() { # SUITE ARGUMENT...: one line of samples/s into $work/SUITE
    local suite=$1
    shift
    [[ " $suites " == *" $suite "* ]] || return 0
    "$engine" train --dataset shapes "$@" 2>/dev/null | sed -n 's/.*, \([0-9.]*\) samples\/s; loss.*/\1/p' \
        >>"$work/$suite"
}

original() { # MODEL SUITE: samples/s
    case $1/$2 in
    vgg11/aio) echo 161 ;; vgg11/source-final) echo 148 ;;
    vgg11/source-intermediate-final) echo 125 ;; vgg11/client-final) echo 131 ;;
    small/aio) echo 28000 ;; small/source-final) echo 15600 ;;
    small/source-intermediate-final) echo 11500 ;; small/client-final) echo 20000 ;;
    esac
}

median() { sort -n "$1" | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

[ $# -gt 0 ] || set -- small vgg11
for model in "$@"; do
    cut=$("$engine" inspect --model "$model" --json | grep -o '"default_cut": *[0-9]*' | grep -o '[0-9]*$')
    batches=8
    [ "$model" != small ] || batches=780
    batches=${BATCHES:-$batches}
    suites=${SUITES:-aio source-final source-intermediate-final client-final}
    rm -f "$work"/*
    start_worker whole --model "$model" --role final --layers 0:
    whole=$port
    start_worker last --model "$model" --role final --layers "$cut:"
    last=$port
    start_worker first --model "$model" --role intermediate --layers ":$cut" --upstream "127.0.0.1:$last"
    first=$port
    for _ in $(seq "$rounds"); do
        run=(--model "$model" --batches "$batches")
        measure aio --role aio "${run[@]}"
        run+=(--micro-batches "$micro")
        measure aio-micro --role aio "${run[@]}"
        measure source-final --role source --upstream "127.0.0.1:$whole" "${run[@]}"
        measure source-intermediate-final --role source --upstream "127.0.0.1:$first" "${run[@]}"
        measure client-final --role client --layers ":$cut" --upstream "127.0.0.1:$last" "${run[@]}"
    done
    mapfile -t workers < <(jobs -p)
    kill "${workers[@]}"
    wait
    aio=$(median "$work/aio")
    for suite in $suites; do
        k=$([ "$suite" = aio ] && echo 1 || echo "$micro")
        awk -v k="$k" -v m="$model" -v s="$suite" -v v="$(median "$work/$suite")" -v a="$aio" \
            -v o="$(original "$model" "$suite")" -v lo="$(sort -n "$work/$suite" | head -n 1)" \
            -v hi="$(sort -n "$work/$suite" | tail -n 1)" 'BEGIN {
            printf "{\"bench\":\"split train %s %s\",\"batch\":64,\"samples_per_s\":%.1f,\"min\":%.1f,\"max\":%.1f,", m, s, v, lo, hi
            printf "\"ms_per_batch\":%.3f,\"vs_aio\":%.3f,\"original\":%s,\"micro_batches\":%d}\n", 64000 / v, v / a, o == "" ? "null" : o, k}'
    done
done
