#!/bin/sh
# usage: thread_tests.sh
# Prints the test sources that are about threads: those that `make test` builds and runs in tsan mode,
# which has no GPU.
cd "$(dirname "$0")/.." || exit 1
grep -lE 'pthread_create|pool_open|split_run.h|monitor_talk.h' tests/test_*.c 2>/dev/null | grep -v /test_cuda_ || true
