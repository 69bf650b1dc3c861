#!/bin/sh
# usage: have_microhttpd.sh CC
# Exit status 0 if CC compiles and links a program with libmicrohttpd. The Makefile asks at each start.
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
echo '#include <microhttpd.h>
int main(void) { return MHD_get_version() == 0; }' |
    "$1" -x c - -o "$out" -lmicrohttpd 2>/dev/null
