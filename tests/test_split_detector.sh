#!/usr/bin/env bash
# usage: test_split_detector.sh [TEST]        (make test; with DETECTOR=yolov3 make test-long)
#
# A detector split over real processes and sockets: raw predictions (--output) and boxes (--json) are the same
# bytes as in one process, at every legal cut, with two nodes and three, with several requests under way and
# several sources at once. A small detector with darknet's kinds of layers, or with
# DETECTOR=yolov3 that one, at its real size. Drives the program (SPARSE_ENGINE); speaks as cmocka does.
# shellcheck disable=SC2317,SC2086,SC2154 # functions that are called by name; words on purpose
# shellcheck source=tests/nodes.sh
source "$(dirname "$0")/nodes.sh"

if [ "${DETECTOR:-}" = yolov3 ]; then
    model=yolov3 ncuts=15 threes="0:1 1:5 5:12 12:37" conf=0.508 requests=2
else
    model=$root/tests/fixtures/detector.cfg ncuts=4 threes="0:1 1:3 2:4" conf=0.45 requests=5
fi

# Two pictures: the second is the first with what was found in it drawn on it.
mkdir pictures && cp "$root/tests/fixtures/picture.png" pictures/a.png || exit 1
"$engine" init --model "$model" --seed 5 --save weights >/dev/null || exit 1
"$engine" infer --model "$model" --weights weights --images pictures --inferences 1 --conf $conf --save-detections . \
    --no-monitor >/dev/null || exit 1
mv a_detected.png pictures/b.png
words="--model $model --conf $conf --images pictures --inferences $requests --letterbox --json --quiet --no-monitor"
"$engine" infer $words --weights weights --output raw >whole.json 2>/dev/null || exit 1

boxes() { # FILE: what was found, without what took how long
    sed 's/"latency_ms":[^,]*,//; /summary/d' "$1"
}

boxes whole.json >whole
[ "$(grep -o '"class":' whole | wc -l)" -ge 20 ] && [ "$(sed -n 's/.*"boxes"://; 1,2p' whole | uniq | wc -l)" = 2 ] ||
    fail "this shows nothing: $(cut -c 1-300 whole)" || exit 1

# same ROLE ARGUMENT...: both kinds of answers, with several requests under way, from the worker at $port
same() {
    local name=${name:-split}
    "$engine" infer $words --role "$@" --upstream "127.0.0.1:$port" --in-flight ${in_flight:-2} --answer raw \
        --output "$name.raw" >"$name.json" 2>"$name.err" || fail "$* $(tail -n 3 "$name.err")" || return 1
    boxes "$name.json" | cmp whole - && cmp raw "$name.raw" || fail "$* with raw answers" || return 1
    "$engine" infer $words --role "$@" --upstream "127.0.0.1:$port" --in-flight ${in_flight:-2} >"$name.json" \
        2>"$name.err" || fail "$* $(tail -n 3 "$name.err")" || return 1
    boxes "$name.json" | cmp whole - || fail "$* with boxes as answers"
}

test_two_nodes_at_every_cut() {
    local cut cuts
    cuts=$("$engine" inspect --model "$model" --json | awk -F '[:,]' '/"number":/ {n = $2} /"cut": \{/ {print n + 1}')
    [ "$(wc -w <<<"$cuts")" = $ncuts ] || fail "legal cuts: $cuts" || return 1
    for cut in $cuts; do
        serve last infer --role final --model "$model" --weights weights --layers "$cut:" || return 1
        same client --layers ":$cut" --weights weights || return 1
        end_workers || return 1
        echo "    cut $cut"
    done
}

# three FROM TO: a client to FROM, a node in between to TO, the last.
three() {
    local last
    serve last infer --role final --model "$model" --weights weights --layers "$2:" || return 1
    last=$port
    serve middle infer --role intermediate --model "$model" --weights weights --layers "$1:$2" \
        --upstream "127.0.0.1:$last" || return 1
    if [ "$1" = 0 ]; then
        same source || return 1
    else
        same client --layers ":$1" --weights weights || return 1
    fi
    end_workers || return 1
    echo "    cuts $1 $2"
}

test_three_nodes() {
    local cuts
    for cuts in $threes; do
        in_flight=3 three ${cuts%:*} ${cuts#*:} || return 1
    done
}

test_several_sources_at_once() {
    local pids=() n
    serve last infer --role final --model "$model" --weights weights --layers 0: || return 1
    for n in 1 2 3; do
        name=many$n in_flight=$n same source >many$n.out 2>&1 &
        pids+=($!)
    done
    for n in 1 2 3; do
        wait "${pids[n - 1]}" || fail "source $n: $(cat many$n.out)" || return 1
    done
    [ "$(grep -c "ended: $requests requests" last.log)" = 6 ] || fail "$(cat last.log)" || return 1
    end_workers
}

run_tests "$@"
