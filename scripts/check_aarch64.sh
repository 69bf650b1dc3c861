#!/usr/bin/env bash
# usage: check_aarch64.sh [TEST...]
#
# Cross-compiles the kernels for 64-bit Arm (plain and NEON) and runs their tests under qemu, against
# tests/shim instead of cmocka. Exit 77 where there is no cross compiler or no qemu.
# On Debian: gcc-aarch64-linux-gnu, qemu-user-static.
set -euo pipefail
cd "$(dirname "$0")/.."

tests=("$@")
[ $# -gt 0 ] || tests=(tensor rng elementwise pool2d batchnorm gemm linear conv2d conv_transpose2d)

cc=${CROSS_CC:-aarch64-linux-gnu-gcc}
for program in "$cc" qemu-aarch64-static; do
    command -v "$program" >/dev/null || { echo "no $program: cannot check aarch64 here" && exit 77; }
done

out=build/aarch64
mapfile -t objects < <(
    for source in base/*.c kernels/*.c kernels/ref/*.c kernels/cpu/{pool,device_cpu}.c \
        kernels/cuda/no_cuda.c tests/check_cuda.c; do
        echo "$out/${source%.c}.o"
    done
    for source in kernels/cpu/*.c; do
        case $source in */pool.c | */device_cpu.c) continue ;; esac
        echo "$out/plain/${source%.c}.o"
        echo "$out/neon/${source%.c}.o"
    done
)
make -s CUDA=0 -j"$(nproc)" ARCH=aarch64 CC="$cc" OUT="$out" WERROR=1 "${objects[@]}"

for name in "${tests[@]}"; do
    program=$out/tests/test_$name
    mkdir -p "$out/tests"
    "$cc" -std=gnu11 -O1 -static -D_GNU_SOURCE -I. -Itests/shim -pthread -o "$program" \
        "tests/test_$name.c" "${objects[@]}" -lm
    echo "test_$name"
    qemu-aarch64-static "$program"
done
