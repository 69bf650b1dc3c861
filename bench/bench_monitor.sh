#!/usr/bin/env bash
# What being watched costs a run: Small's training throughput, as the program's own summary says it, without
# statistics (--no-monitor), beside a monitor, and beside one with --http whose page is open (its JSON is
# asked for every second) and whose metrics are scraped as often. The three take turns in ROUNDS (12) rounds, each
# round in another order; the cost is the median of the rounds' ratios, with their quartiles. Where noise is more
# than that, two figures bound it, in percent of one core: `cpu_percent`, the monitor's own time, and
# `client_percent`, that of the thread which tells it, in a run of some seconds. One JSON line a case.
set -euo pipefail
cd "$(dirname "$0")/.."
engine=$PWD/build/sparse-engine rounds=${ROUNDS:-12} batches=${BATCHES:-390} client_seconds=5
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
unset SPARSE_DATA_DIR

start_monitor() { # FOLDER ARGUMENT...: its port in $port, where it has one
    local log=$work/$1.log
    "$engine" monitor --data-dir "$work/$1" "${@:2}" >"$log" 2>&1 &
    pid[$1]=$! began[$1]=$(date +%s%N)
    until grep -q 'Starting the monitoring server' "$log"; do
        kill -0 $! || { cat "$log" >&2 && exit 1; }
        sleep 0.05
    done
    port=$(sed -nE 's/.*http:\/\/127.0.0.1:([0-9]+)\/.*/\1/p' "$log")
}

ask() { # PATH: by the shell itself, which starts no process for it
    local answer
    exec 5<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&5
    IFS= read -r -d '' answer <&5 || true
    exec 5>&-
    [ "${#answer}" -gt 1000 ]
}

watch_page() {
    local since=0
    exec 6<> <(:)
    while ask "/api/runs?since=$since" && ask /metrics; do
        since=$((since + 2))
        read -r -t 1 <&6 || true
    done
}

measure() { # CASE
    local words="--data-dir $work/$1"
    [ "$1" != alone ] || words=--no-monitor
    # shellcheck disable=SC2086 # words on purpose
    "$engine" train --model small --dataset shapes --batches "$batches" $words 2>/dev/null |
        sed -n 's/.*, \([0-9.]*\) samples\/s; loss.*/\1/p' >>"$work/$1.rates"
}

client_percent() { # CASE
    "$engine" train --model small --dataset shapes --epochs 1000 --data-dir "$work/$1" >/dev/null 2>&1 &
    local run=$! since task
    sleep 1
    since=$(date +%s%N)
    task=$(dirname "$(grep -lx monitor /proc/$run/task/*/comm)")
    set -- "$(cut -d' ' -f1 "$task/schedstat")"
    sleep "$client_seconds"
    set -- "$1" "$(cut -d' ' -f1 "$task/schedstat")"
    awk -v took=$(($2 - $1)) -v since="$since" -v now="$(date +%s%N)" 'BEGIN {print 100 * took / (now - since)}'
    kill -INT $run
    wait $run || true
}

declare -A pid began
start_monitor monitored
start_monitor watched --http 0
watch_page &
cases=(alone monitored watched)
measure alone && rm "$work/alone.rates" # warms the machine up
for round in $(seq "$rounds"); do
    for i in 0 1 2; do
        measure "${cases[(i * (1 + round % 2) + round) % 3]}"
    done
done
for name in monitored watched; do
    cpu=$(cat "/proc/${pid[$name]}/task/"*/schedstat | awk -v since="${began[$name]}" -v now="$(date +%s%N)" \
        '{t += $1} END {print 100 * t / (now - since)}')
    client=$(client_percent $name)
    paste "$work/alone.rates" "$work/$name.rates" | awk '{print 100 * (1 - $2 / $1)}' | sort -n |
        awk -v name=$name -v cpu="$cpu" -v client="$client" -v rounds="$rounds" -v alone="$(sort -n "$work/alone.rates" | sed -n "$(((rounds + 1) / 2))p")" '
            {v[NR] = $1}
            END {
                median = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
                printf "{\"bench\": \"monitor\", \"model\": \"small\", \"case\": \"%s\", \"alone_samples_s\": %.0f, ", name, alone
                printf "\"cost_percent\": %.2f, \"quartiles\": [%.2f, %.2f], ", median,
                    v[int((NR + 3) / 4)], v[int((3 * NR + 3) / 4)]
                printf "\"rounds\": %d, \"cpu_percent\": %.2f, \"client_percent\": %.2f}\n", NR, cpu, client
            }'
done
