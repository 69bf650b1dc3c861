#!/usr/bin/env bash
# The monitor's page as a person sees it: a split run of three nodes and one in one process beside a
# monitor, and a headless Chromium that looks twice. PICTURES=DIR keeps pictures of it. Speaks as cmocka
# does; skipped where there is no Chromium or the program was built without libmicrohttpd.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
engine=${SPARSE_ENGINE:-$root/build/sparse-engine}
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait; rm -rf "$work"' EXIT
cd "$work" || exit 1
unset MASTER_UPSTREAM_HOST MASTER_UPSTREAM_PORT WORKER_LISTEN_ADDRESS WORKER_LISTEN_PORT SPARSE_DATA_DIR

skip() {
    echo "[  SKIPPED ] 1 test: $1"
    exit 77
}

fail() {
    echo "    $*"
    cat ./*.log
    echo "[  FAILED  ] 1 test(s), listed above:"
    exit 1
}

await() { # FILE PATTERN: what the first group of it is
    for _ in $(seq 600); do
        sed -nE "s/.*$2.*/\1/p" "$1" 2>/dev/null | grep -m 1 . && return 0
        sleep 0.05
    done
    return 1
}

start() { # LOG ARGUMENT...
    local log=$1
    shift
    "$engine" "$@" >"$log.log" 2>&1 &
    pids+=($!)
}

chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    skip "there is no chromium"
command -v python3 >/dev/null || skip "there is no python3"
start monitor monitor --http 0
port=$(await monitor.log 'http:\/\/127.0.0.1:([0-9]+)\/') || {
    grep -q "built without libmicrohttpd" monitor.log && skip "built without libmicrohttpd"
    fail "the monitor does not serve"
}

train="train --model small --threads 1"
# shellcheck disable=SC2086 # words on purpose
{
    start final $train --role final --listen 127.0.0.1:0
    last=$(await final.log 'listening on .*:([0-9]+)$') || fail "the last worker does not listen"
    start middle $train --role intermediate --listen 127.0.0.1:0 --upstream "127.0.0.1:$last"
    first=$(await middle.log 'listening on .*:([0-9]+)$') || fail "the worker between does not listen"
    train+=" --dataset shapes --quiet"
    start ended $train --batches 60
    wait "${pids[-1]}" || fail "the first run failed"
    start source $train --role source --upstream "127.0.0.1:$first" --batches 0 --epochs 1000 --lr 0.02
    start whole $train --batches 0 --epochs 1000 --batch-size 32 --lr 0.05
}
pictures=${PICTURES:-$work}
mkdir -p "$pictures"
timeout 240 python3 "$root/tests/tools/page_check.py" "$chromium" "http://127.0.0.1:$port/" "$pictures" ||
    fail "the page is not as it should be"
for picture in desktop phone dark; do
    [ "$(stat -c %s "$pictures/$picture.png" 2>/dev/null || echo 0)" -gt 10000 ] || fail "no picture $picture.png"
done
echo "[       OK ] the page's numbers move"
echo "[  PASSED  ] 1 test(s)."
