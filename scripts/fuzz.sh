#!/usr/bin/env bash
# usage: fuzz.sh SECONDS PROGRAM...
# Runs libFuzzer programs one after the other, SECONDS in all, each on its corpus: what lies in
# tests/corpus/NAME of the repository, and what was found before under build/. Stops at a finding and
# says where the input lies.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=$1
shift
[ $# -gt 0 ] || { echo "no fuzzers were built: there is no tests/fuzz_*.c" >&2 && exit 1; }
for program in "$@"; do
    name=$(basename "$program")
    name=${name#fuzz_}
    found=build/fuzz/corpus/$name
    mkdir -p "$found" build/fuzz/findings
    dirs=("$found")
    [ ! -d "tests/corpus/$name" ] || dirs+=("tests/corpus/$name")
    if ! "$program" -max_total_time=$(((seconds + $# - 1) / $#)) -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="build/fuzz/findings/$name-" "${dirs[@]}" \
        >"build/fuzz/$name.log" 2>&1; then
        tail -n 50 "build/fuzz/$name.log"
        echo "fuzz_$name found something: see build/fuzz/findings/$name-*"
        exit 1
    fi
    awk -v name="$name" '/number_of_executed_units/ {runs = $2} /cov:/ {cov = $0}
        END {sub(/.*cov: /, "", cov); sub(/ .*/, "", cov)
            printf "  ok fuzz_%s: %s runs, %s edges covered\n", name, runs, cov}' "build/fuzz/$name.log"
done
