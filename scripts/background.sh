#!/usr/bin/env bash
# usage: background.sh start NAME -- COMMAND [ARG...]
#        background.sh stop [NAME...]
#        background.sh status
#
# Runs workers and the monitor in the background, as `docker run -d` would: NAME.pid and NAME.log under
# DATA_DIR/run (DATA_DIR: $SPARSE_DATA_DIR, else ./data). `start` waits until the process listens on a
# socket, or has failed, and then shows the end of its log. Starting one twice says so and succeeds.
# `stop` ends those named, or all, with SIGTERM, and with SIGKILL after STOP_SECONDS (10).
set -euo pipefail
cd "$(dirname "$0")/.."
run=${SPARSE_DATA_DIR:-data}/run

started_at() { # PID: when the process started, in the kernel's ticks; a pid used again differs
    local stat field
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -ra field <<<"${stat##*) }" # from the third one, the state
    [ "${field[0]}" != Z ] && echo "${field[19]}"
}

running_pid() { # NAME: its pid, or status 1 if it does not run
    local pid start
    read -r pid start 2>/dev/null <"$run/$1.pid" || return 1
    [ "$(started_at "$pid")" = "$start" ] && echo "$pid"
}

listens() { # PID: does the process hold a listening TCP or unix socket?
    local sockets
    sockets=$(find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null | tr -dc '0-9\n')
    [ -n "$sockets" ] || return 1
    awk -v list="$sockets" 'BEGIN {n = split(list, s, "\n"); for (i = 1; i <= n; i++) own[s[i]]}
        FILENAME ~ /tcp/ && $4 == "0A" && $10 in own {found = 1}
        FILENAME ~ /unix/ && $4 == "00010000" && $7 in own {found = 1}
        END {exit !found}' "/proc/$1"/net/tcp* "/proc/$1/net/unix"
}

start() {
    local name=$1 pid log=$run/$1.log waited=0
    shift 2
    mkdir -p "$run"
    exec 9>"$run/$name.lock"
    flock 9
    if pid=$(running_pid "$name"); then
        echo "$name already runs (process $pid, log $log); \`make stop\` ends it"
        return 0
    fi
    setsid "$@" >"$log" 2>&1 </dev/null 9>&- &
    pid=$!
    echo "$pid $(started_at $pid || echo gone)" >"$run/$name.pid"
    while [ -n "$(started_at $pid || true)" ]; do
        if listens $pid; then
            echo "$name runs (process $pid, log $log); \`make stop\` ends it"
            return 0
        fi
        if [ $waited -ge $((${START_SECONDS:-120} * 10)) ]; then
            echo "$name (process $pid) listens on nothing after ${START_SECONDS:-120} s; the end of $log:" >&2
            tail -n 20 "$log" >&2
            return 1
        fi
        sleep 0.1
        waited=$((waited + 1))
    done
    rm -f "$run/$name.pid"
    local status=0
    wait $pid || status=$?
    echo "$name did not start (exit status $status); the end of $log:" >&2
    tail -n 20 "$log" >&2
    return 1
}

stop() {
    local name pid waited
    for name in "$@"; do
        if pid=$(running_pid "$name"); then
            kill -TERM "$pid" 2>/dev/null || true
            waited=0
            while running_pid "$name" >/dev/null; do
                if [ $waited -ge $((${STOP_SECONDS:-10} * 10)) ]; then
                    echo "$name did not end on SIGTERM: killed" >&2
                    kill -KILL "$pid" 2>/dev/null || true
                fi
                sleep 0.1
                waited=$((waited + 1))
            done
            echo "$name stopped (process $pid)"
        fi
        rm -f "$run/$name.pid" "$run/$name.lock"
    done
}

all_names() { # of those that were started
    local file
    for file in "$run"/*.pid; do
        [ ! -e "$file" ] || basename "$file" .pid
    done
}

usage() {
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
}

case "${1:-}" in
start)
    if [ $# -lt 4 ] || [ "$3" != -- ]; then
        usage
    fi
    shift
    start "$@"
    ;;
stop)
    shift
    if [ $# = 0 ]; then
        mapfile -t names < <(all_names)
        set -- "${names[@]}"
    fi
    stop "$@"
    ;;
status)
    for name in $(all_names); do
        if pid=$(running_pid "$name"); then
            echo "$name runs (process $pid, log $run/$name.log)"
        else
            echo "$name has ended (log $run/$name.log)"
        fi
    done
    ;;
*) usage ;;
esac
