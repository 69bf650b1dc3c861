#!/usr/bin/env bash
# scripts/gpu_check.sh on the emulated GPU (build/emu), with a stand-in of compute-sanitizer and of PyTorch: does it
# refuse, tell a failing part and a missing tool, and end with the right status? Does its table judge rightly? Speaks
# as cmocka does.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
unset CUDA_EMU SPARSE_DEVICE PYTHON
export GPU_CHECK_OUT=$work/out

expect() { # WHAT WANTED GOT
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '[  FAILED  ] %s\n  wanted: %s\n  got:    %s\n' "$1" "$2" "$3"
    fi
}

table() { # NAME WORD...: of the lines on standard input, then the exit status
    local name=$1
    shift
    awk -f bench/gpu_table.awk -v table="$name" "$@"
    echo "$?"
}

ours='{"bench":"train","model":"vgg11","batch":8,"isa":"cuda","runs":9,"median_ms":2.5,"cpu_ms":1}'
eager='{"bench": "train", "model": "vgg11", "batch": 8, "torch": "2.5.1", "mode": "eager", "median_ms": 4.0}'
compiled='{"bench": "train", "model": "vgg11", "batch": 8, "torch": "2.5.1", "mode": "compiled", "median_ms": 3.0}'
expect "faster than both" "1 of 1 works measured, none slower than PyTorch 0" \
    "$(printf '%s\n' "$ours" "$eager" "$compiled" | table verdict -v works=1 | paste -sd' ')"
expect "slower than one of them" "1 of 1 works measured, slower: vgg11 train 8 0.80 times as fast 1" \
    "$(printf '%s\n' "$ours" "$eager" "${compiled/3.0/2.0}" | table verdict -v works=1 | paste -sd' ')"
expect "a work that is missing" "1 of 2 works measured, none slower than PyTorch 1" \
    "$(printf '%s\n' "$ours" "$eager" | table verdict -v works=2 | paste -sd' ')"
expect "nothing at all" 1 "$(table verdict -v works=1 </dev/null | tail -n 1)"
suites='{"bench":"split train small aio","samples_per_s":1000.0}
{"bench":"split train small aio-micro","samples_per_s":900.0}
{"bench":"split train small client-final","samples_per_s":'
expect "a split that is fast" \
    "small over two processes with K = 4: 0.90 of all-in-one with K = 4, 0.81 of it with K = 1 0" \
    "$(echo "${suites}810.0}" | table split -v least=0.9 | paste -sd' ')"
expect "a split that is slow" 1 "$(echo "${suites}809.0}" | table split -v least=0.9 | tail -n 1)"
expect "a split without a suite" "a suite is missing 1" "$(table split -v least=0.9 </dev/null | paste -sd' ')"
expect "a kernel's row" "| relu in place | 0.021 | 1520 GB/s | 1600 GB/s | 95 % |" \
    "$(echo '{"bench":"relu in place","ms":0.021,"gbps":1520,"ceiling_gbps":1600,"ratio":0.95}' | table all | grep relu)"

expect "a product's row" "| gemm 256, cudnn, fp16 | 0.5 | 60 TFLOP/s | 120 TFLOP/s | 51 % |" \
    "$(echo '{"bench":"gemm 256","algo":"cudnn","math":"fp16","ms":0.5,"best_ms":0.4,"tflops":60,"peak_tflops":120,"ratio":0.51}' |
        table all | grep gemm)"
expect "eager alone" "| vgg11 train 8 | 2.5 | 4 |  | 1.60 |" "$(printf '%s\n' "$ours" "$eager" | table all | grep vgg11)"
expect "PyTorch's rows" "| vgg11 train 8 | 2.5 | 4 | 3 | 1.20 |" \
    "$(printf '%s\n' "$ours" "$eager" "$compiled" | table all | grep vgg11)"

check() { # WORD...: the script's status, and its lines of parts
    scripts/gpu_check.sh --emulated "$@" >"$work/said" 2>&1
    echo "$? $(sed -nE 's/^( *(ok|FAIL|skipped) [a-z]+) \([0-9]+ s\)/\1/p' "$work/said" | paste -sd' ')"
}

if [ -x build/emu/sparse-engine ] && [ -x build/emu/tests/test_device_cuda ]; then
    mkdir "$work/bin"
    cat >"$work/bin/compute-sanitizer" <<'S'
#!/usr/bin/env bash
# As far as gpu_check.sh uses it: its options, then the program. FAULTY names a tool that finds something.
log= tool=
while [[ $1 = --* ]]; do
    case $1 in --log-file) log=$2 ;; --tool) tool=$2 ;; esac
    shift 2
done
echo "========= ERROR SUMMARY of $tool" >"$log"
[ "$tool" = "${FAULTY:-none}" ] && exit 99
"$@"
S
    chmod +x "$work/bin/compute-sanitizer"

    expect "no GPU" "77 " "$(CUDA_EMU=devices=0 check)"
    expect "and why" "no GPU here: the NVIDIA driver sees no GPU" "$(cat "$work/said")"
    CUDA_EMU=old-driver check >/dev/null
    expect "an old driver" 1 "$(grep -c '^no GPU here: the NVIDIA driver knows CUDA 10.2, this program' "$work/said")"
    expect "a part that is not there" "2 " "$(check swimming)"
    expect "numbers" "0   ok numbers: small: losses within" "$(check numbers | cut -d' ' -f1-8)"
    expect "its row" 1 "$(grep -cE '^\| numbers \| ok \| .*detector.cfg: NMSE of boxes [0-9.e-]+ \(1e-8\), of scores [0-9.e-]+ \(1e-10\); twice' \
        "$GPU_CHECK_OUT/summary.md")"
    expect "a GPU that fails" "1 FAIL numbers: differs: training small" \
        "$(CUDA_EMU=fail-work=20 check numbers)"
    expect "and its words" 1 "$(grep -c 'illegal memory access' "$work/said")"
    expect "no compute-sanitizer" "0 skipped sanitizer: no compute-sanitizer here: it comes with the CUDA toolkit" \
        "$(COMPUTE_SANITIZER=none check sanitizer)"
    expect "no PyTorch" "0 skipped peers: no PyTorch for CUDA in false" "$(PYTHON=false check peers | cut -d: -f1-2)"
    expect "a tool that finds something" "1 FAIL sanitizer: memcheck, racecheck, initcheck: 4 of 6 runs clean" \
        "$(COMPUTE_SANITIZER=$work/bin/compute-sanitizer FAULTY=racecheck check sanitizer)"
    expect "is shown" 1 "$(grep -q 'ERROR SUMMARY of racecheck' "$work/said" && echo 1)"
else
    echo "[  SKIPPED ] 1 tests: build/emu is not built"
fi

echo "[  PASSED  ] $passed test(s)."
[ $failed = 0 ] || echo "[  FAILED  ] $failed test(s), listed above:"
[ $failed = 0 ]
