#!/usr/bin/env bash
# usage: tests/peers.sh [NAME...]        (make test-peers)
#
# Compares the program with PyTorch on the same weights and data: losses, trained tensors, predictions, weight
# files in both directions. Needs Debian's python3-torch; PYTHON names another interpreter, SPARSE_ENGINE another
# program. NAME: some of the parts that tests/peers/compare.py lists. The last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."
exec env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OMP_WAIT_POLICY=passive MALLOC_MMAP_MAX_=0 \
    MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456 "${PYTHON:-/usr/bin/python3}" \
    tests/peers/compare.py --engine "${SPARSE_ENGINE:-build/sparse-engine}" "$@"
