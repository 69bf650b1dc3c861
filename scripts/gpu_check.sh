#!/usr/bin/env bash
# usage: gpu_check.sh
#
# Everything that a GPU has to show, in under ten minutes: the tests that run kernels, on the real GPU;
# training and a split on it beside the CPU; the kernels' tests under compute-sanitizer; the benches of
# the kernels. Run by `make gpu-check` after the release build. Exit 77 where there is no GPU.
# shellcheck disable=SC2317 # the functions are called by step
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
engine=build/sparse-engine
failed=0

step() { # NAME COMMAND...
    local name=$1 start=$SECONDS
    shift
    echo "== $name"
    if "$@"; then
        echo "  ok $name ($((SECONDS - start)) s)"
    else
        echo "FAIL $name"
        failed=1
    fi
}

if ! $engine doctor | grep -qE '^GPU +[0-9]'; then
    echo "no GPU here: $($engine doctor | sed -n 's/^GPU *none: //p')"
    exit 77
fi
$engine doctor | grep -E '^(GPU|CUDA|cuDNN)'
export SPARSE_ENGINE=$PWD/$engine
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

kernel_tests() {
    local source failures=0
    for source in $(scripts/gpu_tests.sh | grep -v tests/emu/); do
        local program=build/release/${source%.c}
        timeout 120 "$program" >"$logs/out" 2>&1 || [ $? = 77 ] ||
            { echo "$program:" && tail -n 30 "$logs/out" && failures=1; }
    done
    return "$failures"
}

# Same seed, so the losses of a GPU and of the CPU differ by rounding alone; two runs not at all.
losses() {
    local model
    for model in small vgg11; do
        for run in "cuda a" "cuda b" "cpu c"; do
            # shellcheck disable=SC2086 # two words
            set -- $run
            $engine train --model "$model" --dataset shapes --batch-size 16 --batches 8 --dropout 0 \
                --no-monitor --quiet --device "$1" --log "$logs/$model.$2" || return 1
        done
        cmp "$logs/$model.a" "$logs/$model.b" || return 1
        paste -d, "$logs/$model.a" "$logs/$model.c" | awk -F, -v model="$model" '
            NR > 1 {d = $2 - $4; if (d < 0) d = -d; if (d > most) most = d; n++}
            END {print model ": largest difference of a loss " most; exit !(n == 8 && most < 1e-4)}' ||
            return 1
    done
}

sanitize() { # TOOL
    local program
    for program in elementwise pool2d batchnorm gemm linear; do
        timeout 100 compute-sanitizer --tool "$1" --error-exitcode 9 --log-file "$logs/$1" \
            "build/release/tests/test_$program" >"$logs/out" 2>&1 ||
            { tail -n 20 "$logs/$1" "$logs/out" && return 1; }
    done
}

step "tests on the GPU" kernel_tests
step "losses" losses
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck; do
        step "compute-sanitizer $tool" sanitize $tool
    done
else
    echo "FAIL compute-sanitizer is not installed"
    failed=1
fi
for bench in build/release/bench/bench_cuda*; do
    [ -x "$bench" ] && step "$(basename "$bench")" timeout 120 "$bench"
done
exit $failed
