#!/usr/bin/env bash
# usage: install_liburing.sh [sudo]
#
# Builds liburing 2.5 from its release and installs it under /usr/local, for distributions whose
# package is missing or too old (Ubuntu 20.04 and 22.04, L4T). The release tarball is checked against
# the sum below; the second address holds the same file. The word before a command that needs root
# is the argument.
set -euo pipefail

version=2.5
sum=0100cfbf68943dfa869e02c99f8724c69182b09f7a90f1955e709bc914c7ebf9
addresses=(
    "https://brick.kernel.dk/snaps/liburing-$version.tar.gz"
    "http://archive.ubuntu.com/ubuntu/pool/main/libu/liburing/liburing_$version.orig.tar.gz"
)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "Building liburing $version from its release into /usr/local: this system's package is missing" \
    "or older than 2.3." >&2
fetched=
for address in "${addresses[@]}"; do
    if curl -fsSL --connect-timeout 10 --retry 2 -o "$work/liburing.tar.gz" "$address" &&
        echo "$sum  $work/liburing.tar.gz" | sha256sum --check --quiet >&2; then
        fetched=$address
        break
    fi
done
if [ -z "$fetched" ]; then
    echo "liburing $version could not be fetched from ${addresses[*]}, or is not the file that was" \
        "published." >&2
    exit 1
fi
tar -xzf "$work/liburing.tar.gz" -C "$work"
cd "$work/liburing-$version"
{
    ./configure --prefix=/usr/local --cc="${CC:-gcc}"
    make -C src -j"$(nproc)"
    "$@" make -C src install
    "$@" ldconfig
} >"$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    exit 1
}
echo "liburing $version is installed." >&2
