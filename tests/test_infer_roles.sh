#!/usr/bin/env bash
# `infer` over several nodes as its users meet it: the same predictions as in one process, workers that
# come late, die and come back, that train instead, several sources at once, signals. Drives the program
# (SPARSE_ENGINE) on loopback; speaks as cmocka does.
# shellcheck disable=SC2317,SC2086,SC2154 # functions that are called by name; words on purpose
# shellcheck source=tests/nodes.sh
source "$(dirname "$0")/nodes.sh"
data="--model small --dataset shapes --batch-size 30"

start_worker() { # NAME COMMAND ROLE ARGUMENT...
    local name=$1 command=$2 role=$3
    shift 3
    serve "$name" "$command" --role "$role" --model small "$@"
}

infer() { # WANTED-STATUS ARGUMENT...: in the foreground, into run.out
    local wanted=$1
    shift
    expect "$wanted" infer $data "$@"
}

"$engine" init --model small --seed 5 --save weights >/dev/null || exit 1
infer 0 --role aio --weights weights --inferences 0 --output whole || exit 1 # the last request is short

without_times() { # FILE: of --json, its requests
    sed 's/"latency_ms":[^,]*,//; /summary/d' "$1"
}

same() { # FILE
    cmp whole "$1"
}

test_two_and_three_nodes() {
    local last n
    start_worker last infer final --weights weights || return 1
    last=$port
    start_worker middle infer intermediate --weights weights --layers 2:4 --upstream "127.0.0.1:$last" || return 1
    for n in 1 4; do
        infer 0 --role client --weights weights --layers :2 --upstream "127.0.0.1:$port" --inferences 0 \
            --in-flight $n --output split || return 1
        same split || return 1
    done
    grep -q "Layers 4:6 of small" last.log || fail "$(cat last.log)" || return 1
    infer 1 --role source --upstream "127.0.0.1:$port" || return 1
    grep -q "upstream ends at layer 0, this node begins at 2" run.out || fail "$(cat run.out)" || return 1
    end_workers
}

test_json_is_the_same() {
    start_worker last infer final --weights weights || return 1
    infer 0 --role source --upstream "127.0.0.1:$port" --inferences 5 --in-flight 3 --json --quiet || return 1
    without_times run.out | grep -v INFO >split.json
    infer 0 --role aio --weights weights --inferences 5 --json --quiet || return 1
    without_times run.out >whole.json
    [ "$(wc -l <whole.json)" = 5 ] || fail "$(cat whole.json)" || return 1
    cmp whole.json split.json || return 1
    end_workers
}

test_training_and_inference_do_not_mix() {
    start_worker last infer final --weights weights || return 1
    "$engine" train $data --role source --upstream "127.0.0.1:$port" --batches 2 >train.out 2>&1
    [ $? = 1 ] && grep -q "upstream trains, this node infers" train.out || fail "$(cat train.out)" || return 1
    end_workers || return 1
    start_worker last train final || return 1
    infer 1 --role source --upstream "127.0.0.1:$port" || return 1
    grep -q "upstream infers, this node trains" run.out || fail "$(cat run.out)" || return 1
    end_workers
}

test_words_that_must_agree() {
    start_worker last infer final --weights weights --in-flight 2 --batch-size 30 || return 1
    infer 1 --role source --upstream "127.0.0.1:$port" --in-flight 3 || return 1
    grep -q "3 requests under way at once, this node 2" run.out || fail "$(cat run.out)" || return 1
    infer 1 --role source --upstream "127.0.0.1:$port" --in-flight 2 --batch-size 31 || return 1
    infer 0 --role source --upstream "127.0.0.1:$port" --in-flight 2 --inferences 0 --output split || return 1
    same split || return 1
    end_workers
}

# A detector with fresh weights: an objectness of 0.5 everywhere, so that there is much to suppress.
test_a_detector() {
    cat >d.cfg <<'EOF'
[net]
width=64
height=64
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky
[convolutional]
filters=14
size=1
activation=linear
[yolo]
mask=0,1
anchors=10,12, 20,30
classes=2
num=2
EOF
    mkdir -p pictures && cp "$root/tests/fixtures/picture.png" pictures/a.png && cp pictures/a.png pictures/b.png || return 1
    local model="--model d.cfg --conf 0.45 --images pictures --inferences 5" last way
    "$engine" init --model d.cfg --save d.safetensors >/dev/null || return 1
    "$engine" infer $model --weights d.safetensors --json --quiet --output raw --save-detections found >whole.json || return 1
    [ -s found/a_detected.png ] && [ -s found/b_detected.png ] || fail "no pictures saved" || return 1
    [ "$(grep -c '"boxes":\[{"class":' whole.json)" = 5 ] || fail "$(cat whole.json)" || return 1
    start_worker last infer final --model d.cfg --layers 1: --weights d.safetensors || return 1
    last=$port
    for way in "--answer boxes" "--answer raw --output split --in-flight 3"; do
        "$engine" infer $model --role client --layers :1 --weights d.safetensors --upstream "127.0.0.1:$last" --json \
            --quiet $way >split.json 2>split.err || fail "$(cat split.err)" || return 1
        for f in whole split; do
            without_times $f.json >$f.boxes
        done
        cmp whole.boxes split.boxes || return 1
    done
    cmp raw split || return 1
    end_workers || return 1
    start_worker last infer final --model d.cfg --weights d.safetensors || return 1
    last=$port
    start_worker middle infer intermediate --model d.cfg --layers :1 --weights d.safetensors --upstream "127.0.0.1:$last" || return 1
    "$engine" infer $model --role source --upstream "127.0.0.1:$port" --json --quiet --in-flight 2 >split.json \
        2>split.err || fail "$(cat split.err)" || return 1
    without_times split.json | cmp whole.boxes - || return 1
    head -c 60 pictures/a.png >pictures/cut.png
    "$engine" infer $model --weights d.safetensors >cut.out 2>&1
    [ $? = 1 ] && grep -q "cut.png is a damaged PNG picture" cut.out || fail "$(cat cut.out)" || return 1
    end_workers
}

# The model that comes with its weights: every node has them, and the boxes are those of one process.
test_shapes_yolo() {
    local model="--model shapes-yolo --inferences 0" last way
    "$engine" infer $model --json --quiet >whole.json || return 1
    without_times whole.json >whole.boxes
    [ "$(grep -c '"boxes":\[{"class":' whole.boxes)" = 8 ] || fail "$(cat whole.boxes)" || return 1
    for way in "" "--layers :1" "--layers :6 --transport poll --in-flight 3" "--answer raw"; do
        serve last infer --role final --model shapes-yolo || return 1
        last=$port
        "$engine" infer $model --role client --upstream "127.0.0.1:$last" --json --quiet $way >split.json 2>split.err ||
            fail "$(cat split.err)" || return 1
        without_times split.json | cmp whole.boxes - || return 1
        end_workers || return 1
    done
    serve last infer --role final --model shapes-yolo || return 1
    last=$port
    serve middle infer --role intermediate --model shapes-yolo --upstream "127.0.0.1:$last" || return 1
    "$engine" infer $model --role source --upstream "127.0.0.1:$port" --json --quiet --in-flight 4 >split.json \
        2>split.err || fail "$(cat split.err)" || return 1
    without_times split.json | cmp whole.boxes - || return 1
    grep -q "Weights: those that come with shapes-yolo" middle.log || fail "$(cat middle.log)" || return 1
    end_workers
}

test_several_sources_at_once() {
    local pids=() n
    start_worker last infer final --weights weights || return 1
    start_worker middle infer intermediate --weights weights --upstream "127.0.0.1:$port" || return 1
    for n in 1 2 3 4; do
        "$engine" infer $data --role source --upstream "127.0.0.1:$port" --inferences 0 --in-flight $n \
            --output "many$n" >"many$n.out" 2>&1 &
        pids+=($!)
    done
    for n in 1 2 3 4; do
        wait "${pids[n - 1]}" || fail "source $n: $(cat "many$n.out")" || return 1
        same "many$n" || return 1
    done
    [ "$(grep -c "ended: 334 requests, 10000 samples" middle.log)" = 4 ] || fail "$(cat middle.log)" || return 1
    end_workers
}

test_a_worker_that_comes_late() {
    start_worker probe infer final && end_workers || return 1 # a port that is free
    local late=$port source
    "$engine" infer $data --role source --upstream "127.0.0.1:$late" --inferences 0 --output late >late.out 2>&1 &
    source=$!
    await late.out "Unable to connect to upstream host. Trying again in 5 seconds..." || return 1
    at=$late start_worker last infer final --weights weights || return 1
    ended 0 $source late.out || return 1
    same late || return 1
    end_workers
}

# The last of three nodes is killed in the middle, and comes back: no answer is lost or given twice.
test_a_worker_that_dies_and_comes_back() {
    local last source
    start_worker last infer final --weights weights || return 1
    last=$port
    start_worker middle infer intermediate --weights weights --upstream "127.0.0.1:$last" || return 1
    "$engine" infer $data --role source --upstream "127.0.0.1:$port" --inferences 6680 --in-flight 3 --json \
        >dies.json 2>dies.out &
    source=$!
    await dies.json '"request":100,' || return 1
    kill_worker "${workers[0]}"
    await dies.out "is done again" || return 1
    at=$last start_worker last infer final --weights weights || return 1
    ended 0 $source dies.out || return 1
    sed -n 's/{"request":\([0-9]*\),.*/\1/p' dies.json >numbers
    seq 6680 | cmp - numbers || return 1
    infer 0 --role aio --weights weights --inferences 0 --json --quiet || return 1
    without_times run.out | sed 's/"request":[0-9]*,//' >round
    without_times dies.json | sed 's/"request":[0-9]*,//' >rounds
    for _ in $(seq 20); do cat round; done | cmp - rounds || return 1
    end_workers
}

test_signals() {
    start_worker last infer final --weights weights || return 1
    "$engine" infer $data --role source --upstream "127.0.0.1:$port" --inferences 1000000 --in-flight 4 --json \
        >signal.json 2>signal.out &
    local source=$!
    await signal.json '"request":50,' || return 1
    kill -INT $source
    ended 130 $source signal.out || return 1
    grep -q "\"requests\":$(grep -c '"request":' signal.json)," signal.json || fail "no summary of all requests" || return 1
    await last.log "ended: $(grep -c '"request":' signal.json) requests" || return 1
    end_workers
}

# Stopped while it waits for an answer that never comes: it does not begin anew.
test_a_stop_outlives_the_stream() {
    start_worker last infer final --weights weights || return 1
    "$engine" infer $data --role source --upstream "127.0.0.1:$port" --inferences 1000000 --in-flight 4 --json \
        >stop.json 2>stop.out &
    local source=$! guard status=0
    await stop.json '"request":50,' || return 1
    kill -STOP "$worker"
    sleep 0.2
    kill -TERM $source
    sleep 0.2
    kill_worker "$worker"
    (sleep 20 && kill -KILL $source) 2>/dev/null &
    guard=$!
    ended 143 $source stop.out || status=1
    kill -KILL $guard # with TERM a shell that was forked just now runs the trap on EXIT
    wait $guard 2>/dev/null
    return $status
}

run_tests "$@"
