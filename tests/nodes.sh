# Sourced by the tests that drive the program (SPARSE_ENGINE) over several processes on loopback: workers in
# the background, their logs, a list of test_* functions that are run in order and counted as cmocka counts.
# Leaves the shell in a folder of its own, $work.
# shellcheck shell=bash disable=SC2034 # what the tests use
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
engine=${SPARSE_ENGINE:-$root/build/sparse-engine}
case $engine in /*) ;; *) engine=$PWD/$engine ;; esac
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
unset MASTER_UPSTREAM_HOST MASTER_UPSTREAM_PORT WORKER_LISTEN_ADDRESS WORKER_LISTEN_PORT SPARSE_DATA_DIR
workers=()

fail() {
    echo "    $*"
    return 1
}

await() { # FILE TEXT [PROCESS]: until the text is in the file; in vain, once the process has ended
    for _ in $(seq 1200); do
        grep -q -- "$2" "$1" 2>/dev/null && return 0
        [ -z "${3:-}" ] || kill -0 "$3" 2>/dev/null || break
        sleep 0.05
    done
    fail "no \"$2\" in $1: $(cat "$1")"
}

# serve NAME COMMAND ARGUMENT...: a worker in the background, its process in $worker, its port in $port, its log in
# NAME.log. It listens at $address (127.0.0.1), port $at (any that is free).
serve() {
    local log=$1.log command=$2
    shift 2
    : >"$log"
    "$engine" "$command" --listen "${address:-127.0.0.1}:${at:-0}" "$@" >"$log" 2>&1 &
    worker=$!
    workers+=("$worker")
    await "$log" "RX pipe listening" $worker || return 1
    port=$(sed -n 's/.*RX pipe listening on .*:\([0-9]*\)$/\1/p' "$log")
}

end_workers() { # each of them cleanly
    local pid status=0
    for pid in "${workers[@]}"; do
        kill -TERM "$pid" 2>/dev/null
        wait "$pid"
        [ $? = 143 ] || status=1
    done
    workers=()
    [ $status = 0 ] || fail "a worker ended with another status than 143: $(tail -n 3 ./*.log)"
}

# ended STATUS PROCESS FILE: waits for the process, which writes into the file.
ended() {
    local status
    wait "$2"
    status=$?
    [ $status = "$1" ] || fail "ended with status $status, wanted $1: $(cat "$3")"
}

kill_worker() { # PROCESS: at once
    local pid left=()
    kill -KILL "$1"
    wait "$1" 2>/dev/null
    for pid in "${workers[@]}"; do
        [ "$pid" = "$1" ] || left+=("$pid")
    done
    workers=("${left[@]}")
}

# expect STATUS COMMAND ARGUMENT...: in the foreground, into run.out
expect() {
    local wanted=$1 status
    shift
    timeout "${limit:-120}" "$engine" "$@" >run.out 2>&1
    status=$?
    [ $status = "$wanted" ] || fail "$* ended with status $status, wanted $wanted: $(tail -n 5 run.out)"
}

says() { # TEXT [FILE]: that it is there
    grep -qF -- "$1" "${2:-run.out}" || fail "no \"$1\" in ${2:-run.out}: $(tail -n 5 "${2:-run.out}")"
}

# run_tests [WORD]: the functions test_*, those with the word in their name; exits.
run_tests() {
    local t passed=0 failed=0
    for t in $(declare -F | sed -n 's/^declare -f \(test_.*\)/\1/p'); do
        [[ -z "${1:-}" || $t == *$1* ]] || continue
        unset address at
        if $t; then
            passed=$((passed + 1))
            echo "[       OK ] $t"
        else
            failed=$((failed + 1))
            echo "[   FAILED ] $t"
            [ ${#workers[@]} = 0 ] || kill "${workers[@]}" 2>/dev/null
            workers=()
        fi
    done
    echo "[  PASSED  ] $passed test(s)."
    [ $failed = 0 ] || echo "[  FAILED  ] $failed test(s), listed above:"
    exit $failed
}
