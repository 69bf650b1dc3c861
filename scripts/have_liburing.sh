#!/bin/sh
# usage: have_liburing.sh CC
# Exit status 0 if CC compiles and links a program with a liburing that knows zero-copy sends
# (2.3 or newer: Ubuntu 22.04 has 2.1, Ubuntu 20.04 none). The Makefile asks at each start.
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
echo '#include <liburing.h>
int main(void) { io_uring_prep_send_zc(0, 0, 0, 0, 0, 0); return 0; }' |
    "$1" -x c - -o "$out" -luring 2>/dev/null
