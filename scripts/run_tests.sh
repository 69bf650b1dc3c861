#!/usr/bin/env bash
# usage: run_tests.sh [--only PATTERN] MODE...
#
# Runs the test programs that were built in each mode (build/MODE/tests/test_*), from the repository
# root, and tests/test_*.sh once, with the release build. Each gets a time limit and, in SPARSE_ENGINE,
# the program's path, their logs in TEST_LOGS (build/test-logs). cmocka's results are added up; the last line is "N passed, N failed, N skipped".
#
# Exit status 77 is a skipped program. A crash, a time-out, a sanitizer's report (of a child process
# too), or a program that ran no test, is a failure, and so is a run in which nothing passed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

# One program: xargs starts this script again for each.
if [ "${1:-}" = --one ]; then
    logs=$2 limit=$3 program=$4 name=$5
    log=$logs/$name.log
    case $name in release/*) engine=build/sparse-engine ;; *) engine=build/${name%%/*}/sparse-engine ;; esac
    export SPARSE_ENGINE=$PWD/$engine
    export ASAN_OPTIONS=log_path=$logs/$name.sanitizer:${ASAN_OPTIONS:-}
    export UBSAN_OPTIONS=print_stacktrace=1:log_path=$logs/$name.sanitizer:${UBSAN_OPTIONS:-}
    export TSAN_OPTIONS=atexit_sleep_ms=0:log_path=$logs/$name.sanitizer:${TSAN_OPTIONS:-}
    start=$(date +%s%N)
    timeout -k 10 "$limit" "$program" >"$log" 2>&1 </dev/null
    status=$?
    seconds=$(awk -v a="$start" -v b="$(date +%s%N)" 'BEGIN {printf "%.1f", (b - a) / 1e9}')
    read -r passed failed skipped < <(sed -nE \
        's/^\[ *(PASSED|FAILED|SKIPPED) *\] ([0-9]+) test.*/\1 \2/p' "$log" |
        awk '{n[$1] += $2} END {print n["PASSED"] + 0, n["FAILED"] + 0, n["SKIPPED"] + 0}')
    why=
    if [ $status = 124 ] || [ $status = 137 ]; then
        why="ran longer than $limit s"
    elif compgen -G "$logs/$name.sanitizer*" >/dev/null; then
        why="the sanitizer reported"
        cat "$logs/$name".sanitizer* >>"$log"
    elif [ $status = 77 ]; then
        skipped=$((skipped + (passed + failed + skipped == 0)))
        [ "$failed" = 0 ] || why="exit status 77 with failures"
    elif [ $status -gt 128 ]; then
        why="killed by signal $((status - 128))"
    elif [ $status != 0 ] && [ "$failed" = 0 ]; then
        why="exit status $status"
    elif [ $status = 0 ] && [ "$failed" != 0 ]; then
        why="exit status 0 with failures"
    elif [ $status = 0 ] && [ $((passed + skipped)) = 0 ]; then
        why="ran no test"
    fi
    [ -z "$why" ] || [ "$failed" -gt 0 ] || failed=1
    echo "$name $seconds $passed $failed $skipped" >"$logs/$name.result"
    line=$(printf '%-44s %7s s  %d passed, %d failed, %d skipped%s' "$name" "$seconds" "$passed" \
        "$failed" "$skipped" "${why:+: $why}")
    if [ "$failed" -gt 0 ]; then
        printf '%s\n' "FAIL $line" "---- output of $name ----" "$(tail -n 100 "$log")" "----"
    else
        echo "  ok $line"
    fi
    exit 0
fi

only=
if [ "${1:-}" = --only ]; then
    only=$2
    shift 2
fi
[ $# -gt 0 ] || set -- release
logs=${TEST_LOGS:-$PWD/build/test-logs}
unset TEST_LOGS # tests that run this script have others
rm -rf "$logs"

# Programs in sanitizer builds start first: they take longest.
jobs=()
for mode in $(printf '%s\n' "$@" | sort -u | sed 's/^release$/zzz/' | sort | sed 's/^zzz$/release/'); do
    mkdir -p "$logs/$mode"
    case $mode in
    tsan) sources=$(scripts/thread_tests.sh) ;;
    emu) sources=$(scripts/gpu_tests.sh) ;;
    *) # the CUDA kernels' own tests are in builds that have them
        sources=$(ls tests/test_*.c)
        [ -e "build/$mode/kernels/cuda/device_cuda.o" ] || sources=$(grep -v /test_cuda_ <<<"$sources")
        ;;
    esac
    for source in $sources; do
        name=$(basename "$source" .c)
        [[ -z "$only" || $name == *$only* ]] || continue
        jobs+=("build/$mode/${source%.c} $mode/$name")
    done
done
if [[ " $* " == *" release "* ]]; then
    for script in tests/test_*.sh; do
        name=$(basename "$script" .sh)
        [ -e "$script" ] && [[ -z "$only" || $name == *$only* ]] && jobs+=("$script release/$name")
    done
fi

[ ${#jobs[@]} = 0 ] || printf '%s\n' "${jobs[@]}" | xargs -P "${TEST_JOBS:-$(nproc)}" -L 1 \
    scripts/run_tests.sh --one "$logs" "${TEST_TIMEOUT:-600}"

results=$(find "$logs" -name '*.result' -exec cat {} +)
ran=$(grep -c . <<<"$results") # 0 for none
if [ "$ran" -gt 5 ]; then
    echo "The slowest:"
    sort -k2 -rn <<<"$results" | head -5 | awk '{printf "  %s %s s\n", $1, $2}'
fi
lost=$((${#jobs[@]} - ran))
[ $lost = 0 ] || echo "$lost test programs left no result"
read -r passed failed skipped < <(awk -v lost=$lost \
    '{p += $3; f += $4; s += $5} END {print p + 0, f + lost, s + 0}' <<<"$results")
if [ "$passed" = 0 ] && [ "$failed" = 0 ]; then
    echo "nothing was tested: all skipped, or no test matches"
    failed=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
