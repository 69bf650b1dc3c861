#!/bin/sh
# usage: gpu_tests.sh
# Prints the test sources that run something on a GPU: those that `make test` builds and runs in emu mode.
cd "$(dirname "$0")/.." || exit 1
grep -lE 'check_each_isa|check_cuda|device_cuda|cuda_run|CUDA_EMU' tests/test_*.c tests/emu/test_*.c 2>/dev/null || true
