#!/usr/bin/env bash
# The monitor's metrics beside Prometheus's own tools, during a real run: promtool's lint, and a Prometheus
# that scrapes them as README says and then knows the run's samples. Speaks as cmocka does; skipped where
# there is no promtool or no prometheus (Debian's package prometheus).
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
engine=${SPARSE_ENGINE:-$root/build/sparse-engine}
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait; rm -rf "$work"' EXIT
cd "$work" || exit 1
unset SPARSE_DATA_DIR

skip() {
    echo "[  SKIPPED ] 2 tests: $1"
    exit 77
}

fail() {
    echo "    $*"
    cat ./*.log
    echo "[  FAILED  ] 1 test(s), listed above:"
    exit 1
}

get() { # PATH ACCEPT
    curl -sf --max-time 20 -H "Accept: $2" "http://127.0.0.1:$port$1"
}

for tool in promtool prometheus curl; do
    command -v $tool >/dev/null || skip "there is no $tool"
done
"$engine" monitor --http 0 >monitor.log 2>&1 &
pids+=($!)
for _ in $(seq 200); do
    port=$(sed -nE 's/.*http:\/\/127.0.0.1:([0-9]+)\/.*/\1/p' monitor.log)
    [ -z "$port" ] || break
    grep -q "built without libmicrohttpd" monitor.log && skip "built without libmicrohttpd"
    sleep 0.05
done
"$engine" train --model small --dataset shapes --threads 1 --batches 0 --epochs 1000 --quiet >train.log 2>&1 &
run=$!
pids+=("$run")
for _ in $(seq 200); do
    get /metrics text/plain | grep -q '^sparse_run_step_seconds_total' && break
    sleep 0.1
done

get /metrics text/plain >metrics.txt || fail "no metrics"
grep -q '^sparse_run_loss{' metrics.txt || fail "no loss in $(cat metrics.txt)"
promtool check metrics <metrics.txt >promtool.log 2>&1 || fail "promtool finds fault"
[ -s promtool.log ] && fail "promtool says something"
sed '/^# HELP sparse_run_loss/d' metrics.txt | promtool check metrics >/dev/null 2>&1 &&
    fail "promtool finds no fault with anything"
echo "[       OK ] promtool finds no fault"

# README's configuration, for this port, with no time lost.
awk '/^scrape_configs:/ {on = 1} /^```/ {on = 0} on' "$root/README.md" |
    sed "s/127.0.0.1:9464/127.0.0.1:$port/; s/scrape_interval: .*/scrape_interval: 1s/" >prometheus.yml
promtool check config prometheus.yml >config.log 2>&1 || fail "README's configuration is none"
query() { promtool query instant "http://127.0.0.1:$prometheus_port" "$1" 2>/dev/null; }
prometheus_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null || echo 39464)
prometheus --config.file=prometheus.yml --storage.tsdb.path=tsdb --web.listen-address="127.0.0.1:$prometheus_port" \
    >prometheus.log 2>&1 &
pids+=($!)
for _ in $(seq 300); do
    query 'sparse_run_samples_total > 0' | grep -q 'model="small"' && found=yes && break
    sleep 0.2
done
[ -n "${found:-}" ] || fail "Prometheus does not know the run: $(query up)"
query 'up{job="sparse-engine"}' | grep -q '=> 1 @' || fail "$(query up)"
query 'sparse_run_step_seconds_total{part="backward"} > 0' | grep -q 'suite="aio"' || fail "no parts of a step"
curl -s "http://127.0.0.1:$prometheus_port/api/v1/metadata?metric=sparse_run_step_seconds" | grep -q '"unit":"seconds"' ||
    fail "it was not OpenMetrics that Prometheus read: $(curl -s "http://127.0.0.1:$prometheus_port/api/v1/metadata")"
kill -TERM $run && wait $run
echo "[       OK ] Prometheus scrapes it"
echo "[  PASSED  ] 2 test(s)."
