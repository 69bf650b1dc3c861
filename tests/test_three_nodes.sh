#!/usr/bin/env bash
# The three-node example of the original's README, word for word: three hosts (network namespaces) with
# the addresses 10.49.2.1 to .3, each with its own checkout, two .env files, the make targets. Once over a
# good network and once over a bad one: 100 Mbit/s, 1 % loss, 20 ms each way. The losses must be the
# bytes of a run in one process, and the statistics of a monitor on each host the run's own counts. Then a
# detector in the same roles, and a client of the last node: predictions and boxes must be the same bytes too.
# Needs root; speaks as cmocka does.
# shellcheck disable=SC2317,SC2086 # functions that are called by name
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
tag=se$$
hosts=("$tag-source" "$tag-middle" "$tag-final")
work=$(mktemp -d)
passed=0 failed=0

cleanup() {
    for i in 0 1 2; do
        ip netns exec "${hosts[i]}" make -s -C "$work/${hosts[i]}" stop >/dev/null 2>&1
    done
    take_down
    rm -rf "$work"
}

take_down() {
    [ -z "${line:-}" ] || kill "$line" 2>/dev/null
    line=
    for host in "${hosts[@]}"; do
        ip netns del "$host" 2>/dev/null
    done
}

skip() {
    echo "[  SKIPPED ] 2 tests: $1"
    exit 77
}

# A host's own copy: what git would check out, and what is built already.
copy_tree() { # HOST
    mkdir -p "$work/$1/build"
    (cd "$root" && tar cf - --exclude=./build --exclude=./data --exclude=./.git .) | tar xf - -C "$work/$1"
    cp -a "$root/build/sparse-engine" "$work/$1/build/"
    (cd "$root/build" && find release -name '*.o' -not -path '*/tests/*' -o -name '*.d' -o -name '*.a' \
        -o -name flags | tar cf - -T -) | tar xf - -C "$work/$1/build"
}

good_network() {
    ip link add "$tag" netns "${hosts[1]}" type bridge
    ip -n "${hosts[1]}" addr add 10.49.2.2/24 dev "$tag"
    ip -n "${hosts[1]}" link set "$tag" up
    for i in 0 2; do
        ip link add eth0 netns "${hosts[i]}" type veth peer name "p$i" netns "${hosts[1]}"
        ip -n "${hosts[1]}" link set "p$i" master "$tag" up
        ip -n "${hosts[i]}" addr add "10.49.2.$((i + 1))/24" dev eth0
        ip -n "${hosts[i]}" link set eth0 up
    done
}

bad_network() {
    "${CC:-cc}" -I"$root" -D_GNU_SOURCE -O2 -o "$work/delay_line" "$root/tests/tools/delay_line.c" || return 1
    "$work/delay_line" 20 eth0 "${hosts[@]}" >"$work/line" 2>&1 &
    line=$!
    for _ in $(seq 100); do
        grep -q ready "$work/line" && break
        sleep 0.1
    done
    for i in 0 1 2; do
        ip -n "${hosts[i]}" addr add "10.49.2.$((i + 1))/24" dev eth0
        ip -n "${hosts[i]}" link set eth0 up
        ip netns exec "${hosts[i]}" tc qdisc add dev eth0 root tbf rate 100mbit burst 64kb latency 100ms
        ip netns exec "${hosts[i]}" nft -f - <<'N'
table inet bad {
    chain input {
        type filter hook input priority 0
        ip protocol tcp numgen random mod 100 == 0 drop
    }
}
N
    done
}

on() { # HOST MAKE-ARGUMENTS: as somebody would type it there
    local host=$1
    shift
    (cd "$work/$host" && env -u MASTER_UPSTREAM_HOST -u MASTER_UPSTREAM_PORT -u WORKER_LISTEN_ADDRESS \
        -u WORKER_LISTEN_PORT -u SPARSE_DATA_DIR ip netns exec "$host" make --no-print-directory "$@")
}

# The last row of a host's statistics of one run: its samples and tasks exactly; on a good network the bytes
# that must cross, and at most 6 % more: heads of TCP, IP and Ethernet, acknowledgements, the handshake.
statistics() { # HOST SUITE SAMPLES TASKS SENT RECEIVED
    local file head last row
    file=("$work/$1/data/stats/benchmark_learning-$2-"*-small-1-64-2*.csv)
    if [ ${#file[@]} != 1 ] || [ ! -e "${file[0]}" ]; then
        echo "statistics of $2: ${file[*]}"
        return 1
    fi
    head=$(head -n 1 "${file[0]}") last=$(tail -n 1 "${file[0]}")
    [ "$head" = timestamp,bytes_sent,bytes_recv,samples_processed,tasks_processed ] ||
        { echo "columns of $2: $head" && return 1; }
    IFS=, read -ra row <<<"$last"
    if [ "${row[3]}" != "$3" ] || [ "${row[4]}" != "$4" ]; then
        echo "$2 counts ${row[3]} samples, ${row[4]} tasks; wanted $3 and $4"
        return 1
    fi
    awk -v name="$2" -v sent="${row[1]}" -v received="${row[2]}" -v s="$5" -v r="$6" -v most="$most" 'BEGIN {
        print name ": " sent " bytes sent of " s ", " received " received of " r
        exit !(sent >= s && received >= r && (!most || sent <= most * s + 8192 && received <= most * r + 8192))}'
}

# What crosses in 6 steps of 64 samples: heads, labels, tensors; back gradients, and for a source the loss.
all_statistics() {
    local raw=$((6 * (128 + 256 + 64 * 784 * 4))) cut=$((6 * (128 + 256 + 64 * 512 * 4)))
    local gradient=$((6 * (128 + 64 * 512 * 4))) loss=$((6 * 128)) ok=0
    statistics "${hosts[0]}" offload_source 384 0 $raw $loss || ok=1
    statistics "${hosts[1]}" offload_intermediate 0 6 $((loss + cut)) $((raw + gradient)) || ok=1
    statistics "${hosts[2]}" offload_final 0 6 $gradient $cut || ok=1
    rm -rf "$work"/*/data/stats
    return $ok
}

# The network card with the host's address: its bytes count.
card() { # HOST
    ip -n "$1" -o addr show to 10.49.2.0/24 | awk '{print $2}'
}

# Starts the workers of a split, then makes the target on the first host.
split() { # KIND(learning or inference) ARGS-OF-BOTH ARGS-OF-THE-FIRST TARGET...
    local kind=$1 args=$2 first=$3
    shift 3
    on "${hosts[2]}" "run-$kind-split-final" "MODEL=$model" "ARGS=$args" &&
        on "${hosts[1]}" "run-$kind-split-intermediate" "MODEL=$model" "ARGS=$args $first" &&
        timeout 240 bash -c "$(declare -f on); work=$work; on \"\$@\"" - "${hosts[0]}" "$@" "MODEL=$model"
}

stop_all() {
    for i in 2 1 0; do # workers before monitors, by their names
        on "${hosts[i]}" stop
    done
}

train_there() { # NAME
    local model=small
    for host in "${hosts[@]}"; do
        on "$host" run-sparse-monitor ARGS="--interface $(card "$host")"
    done
    split learning "--lr 0.1" "" run-learning-data-source BATCHES=6 \
        ARGS="--dataset shapes --lr 0.1 --log $work/$1.csv" || return 1
    stop_all
    all_statistics && cmp "$work/aio.csv" "$work/$1.csv"
}

# The source's requests go through both workers; the client's, to the last one. Several are under way.
infer_there() { # NAME
    local model=$detector
    split inference "--weights $work/weights --no-monitor" "--layers :4" run-inference-data-source \
        INFERENCES=$requests ARGS="$pictures --in-flight 4 --answer raw --output $work/$1.raw" &&
        cmp "$work/aio.raw" "$work/$1.raw" &&
        on "${hosts[0]}" run-inference-split-client "MODEL=$model" INFERENCES=$requests ARGS="$pictures --json \
            --in-flight 3 --layers :4 --weights $work/weights --upstream 10.49.2.3:50008" >"$work/$1.json" &&
        boxes "$work/$1.json" | cmp "$work/aio.boxes" -
}

boxes() { # FILE
    sed -n '/"request"/s/"latency_ms":[^,]*,//p' "$1"
}

run_example() { # WHAT NETWORK
    local name=$1_$2 ok=1
    for host in "${hosts[@]}"; do
        ip netns add "$host"
        ip -n "$host" link set lo up
    done
    $2 || ok=0
    most=$([ "$2" = good_network ] && echo 1.06 || echo 0)
    "$1" "$name" >"$work/$name.out" 2>&1 || ok=0
    stop_all >>"$work/$name.out" 2>&1
    take_down
    if [ $ok = 1 ]; then
        passed=$((passed + 1))
        grep " bytes sent of " "$work/$name.out"
    else
        failed=$((failed + 1))
        echo "[  FAILED  ] $name"
        cat "$work/$name.out" "$work"/*/data/run/*.log
    fi
}

[ "$(id -u)" = 0 ] || skip "network namespaces need root"
for tool in ip tc nft; do
    command -v $tool >/dev/null || skip "there is no $tool (packages iproute2 and nftables)"
done
ip netns add "$tag-probe" 2>/dev/null || skip "this machine makes no network namespaces"
ip netns del "$tag-probe"
trap cleanup EXIT

for host in "${hosts[@]}"; do
    copy_tree "$host"
done
echo "MASTER_UPSTREAM_HOST=10.49.2.3" >"$work/${hosts[1]}/.env"
echo "MASTER_UPSTREAM_HOST=10.49.2.2" >"$work/${hosts[0]}/.env"
"$root/build/sparse-engine" train --role aio --model small --dataset shapes --lr 0.1 --batches 6 --quiet \
    --log "$work/aio.csv" || exit 1

detector=tests/fixtures/detector.cfg requests=12
pictures="--images tests/fixtures/picture.png --conf 0.45 --no-monitor"
(cd "$root" && build/sparse-engine init --model $detector --seed 5 --save "$work/weights" &&
    build/sparse-engine infer --model $detector --weights "$work/weights" --inferences $requests $pictures --json \
        --output "$work/aio.raw") >"$work/aio.json" 2>/dev/null || exit 1
boxes "$work/aio.json" >"$work/aio.boxes"
[ "$(grep -c '"boxes":\[{' "$work/aio.boxes")" = $requests ] || exit 1

for what in train_there infer_there; do
    run_example $what good_network
    if [ -e /dev/net/tun ]; then
        run_example $what bad_network
    else
        echo "[  SKIPPED ] 1 tests: no /dev/net/tun for the delay"
    fi
done
echo "[  PASSED  ] $passed test(s)."
[ $failed = 0 ] || echo "[  FAILED  ] $failed test(s), listed above:"
exit $failed
