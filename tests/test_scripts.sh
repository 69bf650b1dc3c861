#!/usr/bin/env bash
# The scripts that people and CI rely on: does run_tests.sh see every kind of failure, does
# check_deps.sh see an upward include, does background.sh start, refuse, and stop. Speaks as cmocka does.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'SPARSE_DATA_DIR=$work/data "$root/scripts/background.sh" stop >/dev/null 2>&1; rm -rf "$work"' EXIT
passed=0 failed=0

expect() { # WHAT WANTED GOT
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '[  FAILED  ] %s\n  wanted: %s\n  got:    %s\n' "$1" "$2" "$3"
    fi
}

# A repository with one test program, which is the shell script on standard input.
run_one() {
    rm -rf "$work/repo"
    mkdir -p "$work/repo/scripts" "$work/repo/tests" "$work/repo/build/release/tests"
    cp "$root/scripts/run_tests.sh" "$work/repo/scripts/"
    : >"$work/repo/tests/test_it.c"
    { echo '#!/bin/sh' && cat; } >"$work/repo/build/release/tests/test_it"
    chmod +x "$work/repo/build/release/tests/test_it"
    TEST_TIMEOUT=1 "$work/repo/scripts/run_tests.sh" release >"$work/out" 2>&1
    echo "$? $(tail -n 1 "$work/out")$(sed -n 's/^FAIL .* skipped\(: .*\)/\1/p' "$work/out")"
}

expect "results are added up" "0 5 passed, 0 failed, 1 skipped" "$(run_one <<'T'
echo '[  PASSED  ] 3 test(s).'
echo '[  PASSED  ] 2 test(s).'
echo '[  SKIPPED ] 1 test(s), listed below:'
T
)"
expect "a failed test" "1 3 passed, 2 failed, 0 skipped" "$(run_one <<'T'
echo '[  PASSED  ] 3 test(s).'
echo '[  FAILED  ] 2 test(s), listed below:'
exit 2
T
)"
expect "failures with exit status 0" "1 0 passed, 1 failed, 0 skipped: exit status 0 with failures" \
    "$(run_one <<'T'
echo '[  FAILED  ] 1 test(s), listed below:'
T
)"
expect "a crash" "1 1 passed, 1 failed, 0 skipped: killed by signal 11" \
    "$(run_one <<'T'
echo '[  PASSED  ] 1 test(s).'
kill -SEGV $$
T
)"
expect "a time-out" "1 0 passed, 1 failed, 0 skipped: ran longer than 1 s" \
    "$(run_one <<<'sleep 20')"
expect "a program that ran no test" "1 0 passed, 1 failed, 0 skipped: ran no test" \
    "$(run_one <<<'exit 0')"
expect "all skipped" "1 0 passed, 1 failed, 1 skipped" "$(run_one <<<'exit 77')"
expect "a sanitizer's report of a child" "1 1 passed, 1 failed, 0 skipped: the sanitizer reported" \
    "$(run_one <<'T'
echo '[  PASSED  ] 1 test(s).'
path=${ASAN_OPTIONS#log_path=}
echo 'ERROR: AddressSanitizer' >"${path%%:*}.123"
T
)"
expect "a program that is not there" "1 0 passed, 1 failed, 0 skipped" "$(
    run_one </dev/null >/dev/null
    rm "$work/repo/build/release/tests/test_it"
    "$work/repo/scripts/run_tests.sh" release >"$work/out" 2>&1
    echo "$? $(tail -n 1 "$work/out")"
)"

deps() { # FILE INCLUDE
    rm -rf "$work/tree"
    mkdir -p "$work/tree/$(dirname "$1")"
    echo "#include \"$2\"" >"$work/tree/$1"
    "$root/scripts/check_deps.sh" "$work/tree" | cut -d: -f1-2
}
expect "downward include" "" "$(deps layers/conv2d.c kernels/kernels.h)"
expect "upward include" "kernels/cpu/gemm.c:1" "$(deps kernels/cpu/gemm.c layers/layer.h)"
expect "net sees kernels" "net/net.c:1" "$(deps net/net.c kernels/buffer.h)"
expect "kernels see net" "kernels/buffer.c:1" "$(deps kernels/buffer.c net/wire.h)"

# A process that listens on a unix socket, for want of a free port to name.
export SPARSE_DATA_DIR=$work/data
background() { "$root/scripts/background.sh" "$@" 2>&1 | sed 's/ (.*//; s/;.*//'; }
listener="use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, pack_sockaddr_un('$work/socket')); \
    listen(S, 1); sleep 60"
expect "start" "worker runs" "$(background start worker -- perl -e "$listener")"
expect "start again" "worker already runs" "$(background start worker -- false)"
expect "status" "worker runs" "$(background status)"
expect "stop" "worker stopped" "$(background stop)"
expect "stop again" "" "$(background stop)"
expect "a failing command" "worker did not start:no port" \
    "$(background start worker -- sh -c 'echo no port; exit 3' | paste -sd:)"
sleep 60 &
other=$!
echo "$other 1" >"$work/data/run/old.pid"
expect "a pid that was used again" "" "$(background stop old)"
expect "is left alone" "alive" "$(kill -0 $other && echo alive)"
kill $other

# For which architectures a source is compiled, by a toolkit that has these. No GPU: nvidia-smi fails.
mkdir -p "$work/bin"
printf '#!/bin/sh\nprintf "compute_%%s\\n" 90 75 80 100\n' >"$work/bin/nvcc"
printf '#!/bin/sh\nexit 9\n' >"$work/bin/nvidia-smi"
chmod +x "$work/bin/nvcc" "$work/bin/nvidia-smi"
flags() { PATH=$work/bin:$PATH "$root/scripts/cuda_flags.sh" nvcc "$@" 2>&1 | sed 's/^ *//; s/-gencode arch=//g'; }
expect "all architectures" "compute_75,code=[compute_75,sm_75,sm_80,sm_90,sm_100]" "$(flags all)"
expect "all, in steps" "compute_75,code=[compute_75,sm_75] compute_80,code=[compute_80,sm_80,sm_90,sm_100]" \
    "$(flags all "70 80")"
expect "without a GPU" "compute_75,code=sm_75 compute_75,code=compute_75" "$(flags "")"
expect "without a GPU, in steps" "compute_75,code=sm_75 compute_80,code=sm_80 compute_80,code=compute_80" \
    "$(flags "" "70 80")"
expect "named ones" "compute_90,code=sm_90 compute_90,code=compute_90" "$(flags 90 "70 80")"
expect "one that is not there" "CUDA_ARCHS: nvcc has no sm_72, it has: 75 80 90 100" "$(flags 72)"

echo "[  PASSED  ] $passed test(s)."
[ $failed = 0 ] || echo "[  FAILED  ] $failed test(s), listed above"
[ $failed = 0 ]
