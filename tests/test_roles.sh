#!/usr/bin/env bash
# The roles of `train` as their users meet them: neighbours that do not fit, come late, die, stop, send
# rubbish, or are many. Drives the program (SPARSE_ENGINE) on loopback; speaks as cmocka does.
# shellcheck disable=SC2317,SC2086,SC2154 # functions that are called by name; numbers, and words on purpose
# shellcheck source=tests/nodes.sh
source "$(dirname "$0")/nodes.sh"
steps="--model small --dataset shapes --lr 0.1"

start_worker() { # NAME ARGUMENT...
    local name=$1
    shift
    serve "$name" train --model small --lr 0.1 "$@"
}

run() { # WANTED-STATUS ARGUMENT...: in the foreground, into run.out
    local wanted=$1
    shift
    expect "$wanted" train $steps "$@"
}

rows() { wc -l <"$1"; } # of a log: its steps and the line of names

test_misfits_are_refused_on_both_sides() {
    start_worker w --role final --layers 4: --batch-size 64 || return 1
    run 1 --role client --layers :2 --upstream "127.0.0.1:$port" --batches 3 || return 1
    grep -q "upstream ends at layer 2, this node begins at 4" run.out || fail "client: $(cat run.out)" || return 1
    grep -q "upstream ends at layer 2, this node begins at 4" w.log || fail "worker: $(cat w.log)" || return 1
    run 1 --role client --layers :4 --upstream "127.0.0.1:$port" --batches 3 --batch-size 32 || return 1
    grep -q "batch" run.out || fail "client: $(cat run.out)" || return 1
    timeout 60 "$engine" train --role source --model vgg11 --dataset shapes --upstream "127.0.0.1:$port" \
        --batches 1 >run.out 2>&1
    [ $? = 1 ] && grep -q "vgg11" run.out || fail "another model: $(cat run.out)" || return 1
    run 0 --role client --layers :4 --upstream "127.0.0.1:$port" --batches 3 --log fits.csv || return 1
    [ "$(rows fits.csv)" = 4 ] || fail "$(rows fits.csv) rows" || return 1
    end_workers
}

test_a_worker_that_comes_late() {
    start_worker probe --role final && end_workers || return 1 # a port that is free
    local late=$port
    "$engine" train $steps --role source --upstream "127.0.0.1:$late" --batches 3 --log late.csv >late.out 2>&1 &
    local source=$!
    await late.out "Unable to connect to upstream host. Trying again in 5 seconds..." || return 1
    at=$late start_worker w --role final || return 1
    ended 0 $source late.out || return 1
    [ "$(rows late.csv)" = 4 ] || fail "$(rows late.csv) rows" || return 1
    end_workers
}

test_many_sources_at_once() {
    start_worker w --role final --save many.safetensors || return 1
    local pids=() i
    for i in 1 2 3 4; do
        "$engine" train $steps --role source --upstream "127.0.0.1:$port" --batches 10 --log "many$i.csv" \
            --micro-batches $((i % 2 * 3 + 1)) >"many$i.out" 2>&1 &
        pids+=($!)
    done
    for i in 1 2 3 4; do
        wait "${pids[i - 1]}" || fail "source $i: $(cat "many$i.out")" || return 1
        [ "$(rows "many$i.csv")" = 11 ] || fail "source $i: $(rows "many$i.csv") rows" || return 1
    done
    end_workers || return 1
    [ "$(grep -c "Stream of .* ended: 10 steps" w.log)" = 4 ] || fail "$(cat w.log)" || return 1
    grep -q "Saved weights after 40 steps" w.log || fail "$(cat w.log)"
}

test_a_worker_that_dies_and_comes_back() {
    start_worker w --role final || return 1
    local late=$port source
    "$engine" train $steps --role source --upstream "127.0.0.1:$late" --batches 700 --log dies.csv >dies.out 2>&1 &
    source=$!
    await dies.csv "^20," || return 1
    kill_worker $worker
    await dies.out "is done again" || return 1
    at=$late start_worker w2 --role final || return 1
    ended 0 $source dies.out || return 1
    [ "$(rows dies.csv)" = 701 ] || fail "$(rows dies.csv) rows" || return 1
    end_workers
}

test_signals_end_a_source_and_a_worker_cleanly() {
    rm -f signal.csv
    start_worker w --role final --save signal.safetensors || return 1
    "$engine" train $steps --role client --layers :3 --upstream "127.0.0.1:$port" --batches 0 --epochs 100 \
        --log signal.csv --save client.safetensors >signal.out 2>&1 &
    local client=$!
    await signal.csv "^20," || return 1
    kill -INT $client
    ended 130 $client signal.out || return 1
    await w.log "Stream of .* ended: $(($(rows signal.csv) - 1)) steps" || return 1
    end_workers || return 1
    "$engine" merge client.safetensors signal.safetensors --save both.safetensors >/dev/null || return 1
    run 0 --role aio --weights both.safetensors --batches 1 || return 1

    rm -f signal.csv
    start_worker w --role final --save signal.safetensors || return 1
    "$engine" train $steps --role source --upstream "127.0.0.1:$port" --batches 0 --epochs 100 --log signal.csv \
        >signal.out 2>&1 &
    client=$!
    await signal.csv "^20," || return 1
    end_workers || return 1
    grep -q "Saved weights after" w.log || fail "$(cat w.log)" || return 1
    await signal.out "Unable to connect" || return 1
    kill -TERM $client
    ended 143 $client signal.out
}

# Stopped in the middle of a step, of which nothing comes: neither waits for a neighbour any more.
test_a_stop_outlives_the_stream() {
    local source victim
    rm -f stop.csv
    start_worker last --role final || return 1
    victim=$worker
    start_worker w --role intermediate --upstream "127.0.0.1:$port" || return 1
    "$engine" train $steps --role source --upstream "127.0.0.1:$port" --batches 0 --epochs 100 --log stop.csv \
        >stop.out 2>&1 &
    source=$!
    await stop.csv "^20," || return 1
    kill -STOP "$victim"
    sleep 0.2
    kill -TERM $source "$worker"
    sleep 0.2
    kill_worker "$victim"
    (sleep 20 && kill -KILL $source "$worker") 2>/dev/null &
    local guard=$!
    ended 143 $source stop.out || return 1
    end_workers || return 1
    kill -KILL $guard # with TERM a shell that was forked just now runs the trap on EXIT
    wait $guard 2>/dev/null
    return 0
}

test_rubbish_disturbs_nobody() {
    start_worker w --role final || return 1
    local source i
    "$engine" train $steps --role source --upstream "127.0.0.1:$port" --batches 60 --log good.csv >good.out 2>&1 &
    source=$!
    for i in $(seq 20); do
        { head -c $((i * 997)) /dev/urandom >"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null
    done
    exec 5<>"/dev/tcp/127.0.0.1/$port" # says nothing, and stays
    ended 0 $source good.out || return 1
    exec 5>&-
    run 0 --role aio --batches 60 --log aio.csv || return 1
    cmp aio.csv good.csv || return 1
    end_workers
}

test_transports_and_addresses() {
    local transport
    run 0 --role aio --batches 5 --log aio.csv || return 1
    for transport in uring poll; do
        address='[::1]' start_worker w --role final --transport $transport || {
            [ $transport = uring ] && grep -q "io_uring" w.log || return 1
            workers=() # this machine refuses it, and says so
            continue
        }
        run 0 --role client --layers :3 --upstream "[::1]:$port" --transport $transport --batches 5 --log v6.csv || return 1
        grep -q "transport $transport" w.log || fail "$(cat w.log)" || return 1
        cmp aio.csv v6.csv || return 1
        end_workers || return 1
    done
    start_worker w --role final || return 1
    run 0 --role source --upstream "localhost:$port" --batches 5 --log name.csv || return 1
    cmp aio.csv name.csv || return 1
    end_workers
}

test_words_that_are_off() {
    run 2 --role source --layers 0:3 || return 1
    run 2 --role source --save x.safetensors || return 1
    run 2 --role client --layers 2:4 || return 1
    run 2 --role final --layers 2:4 || return 1
    run 2 --role intermediate --layers 2:6 || return 1
    run 1 --role final --save /nowhere/at/all.safetensors --listen 127.0.0.1:0 || return 1
    start_worker w --role final || return 1
    run 1 --role final --listen "127.0.0.1:$port" || return 1
    grep -q "$port" run.out || fail "$(cat run.out)" || return 1
    end_workers
}

run_tests "$@"
