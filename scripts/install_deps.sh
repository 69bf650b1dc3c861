#!/usr/bin/env bash
# usage: install_deps.sh build|run|test|lint|fuzz|peers
#
# Installs what this use of the repository needs and this machine lacks, and says what and why.
# Where nothing is missing it asks no package manager and is silent. Debian 12, Ubuntu 20.04, 22.04
# and 24.04, and NVIDIA's L4T, which is Ubuntu; elsewhere it says what to install. Called by make.
set -euo pipefail
cd "$(dirname "$0")/.."

use=${1:-build}
missing=() # packages
reasons=() # a line each
optional=()
what="--dataset fashion-mnist" # what the optional things are for

need() { # PACKAGE WHY: to be installed, or the use fails
    missing+=("$1")
    reasons+=("  $1: $2")
}

# Searches where gcc and pkg-config would, without starting them.
have_header() {
    local dir
    for dir in /usr/local/include /usr/include /usr/include/*-linux-gnu; do
        [ ! -e "$dir/$1" ] || return 0
    done
    return 1
}
have_command() { command -v "$1" >/dev/null 2>&1; }

check_build() {
    have_command "${CC:-gcc}" || need gcc "the C compiler"
    have_command ar || need binutils "ar and the linker"
    have_header stdio.h || need libc6-dev "headers of the C library"
    have_header jansson.h || need libjansson-dev "JSON: reports, safetensors headers"
    have_header jpeglib.h || need libjpeg-dev "JPEG pictures"
    have_header png.h || need libpng-dev "PNG pictures"
    [ "${HTTP:-}" = 0 ] || have_header microhttpd.h ||
        need libmicrohttpd-dev "the monitor's page and Prometheus's metrics"
    have_header zlib.h || need zlib1g-dev "gzip: data sets as they are published"
}

check_run() {
    check_build
    have_command curl || need curl "data sets and weights as they are published"
    [ -e /etc/ssl/certs/ca-certificates.crt ] || need ca-certificates "to know who publishes them"
    [ -e /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ] ||
        optional+=(dataset-fashion-mnist)
}

check_test() {
    check_build
    have_header cmocka.h || need libcmocka-dev "the tests"
    have_command g++ || need g++ "the emulated GPU that the CUDA kernels are tested on"
}

check_lint() {
    check_test
    have_command git || need git "the list of source files"
    have_command clang-format-14 || need clang-format-14 "formatting"
    have_command clang-tidy-14 || need clang-tidy-14 "static analysis"
    have_command cppcheck || need cppcheck "static analysis"
    have_command shellcheck || need shellcheck "checks of the scripts"
}

# The fuzzing runtime comes in a package of its own from clang 14 of Debian 12 on.
check_fuzz() {
    check_build
    have_command clang || need clang "the fuzzers"
    if compgen -G '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*' >/dev/null; then
        return 0
    fi
    case "$distribution" in
    debian-12) need libclang-rt-14-dev "clang's fuzzing runtime" ;;
    ubuntu-24.04) need libclang-rt-18-dev "clang's fuzzing runtime" ;;
    esac
}

check_peers() {
    check_build
    /usr/bin/python3 -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("torch"))' \
        2>/dev/null ||
        need python3-torch "PyTorch, which results are compared with"
    compgen -G '/usr/lib/*/openblas-pthread/libopenblas.so.0' >/dev/null ||
        need libopenblas0-pthread "PyTorch's fast linear algebra, for a fair comparison"
    if [ ! -e /usr/lib/darknet/include/darknet.h ]; then
        optional+=(darknet)
        what="the comparison with darknet"
    fi
}

distribution=unknown
if [ -r /etc/os-release ]; then
    # shellcheck source=/dev/null
    distribution=$(. /etc/os-release && echo "${ID:-unknown}-${VERSION_ID:-}")
fi
case "$use" in
build | run | test | lint | fuzz | peers) "check_$use" ;;
*) echo "usage: $0 build|run|test|lint|fuzz|peers" >&2 && exit 2 ;;
esac

# liburing: packaged new enough by Debian 12 and Ubuntu 24.04, built from its release elsewhere.
# URING=0 asks for a build without it.
uring=present
if [ "${URING:-}" != 0 ] && ! { have_header liburing.h && have_command "${CC:-gcc}" &&
    scripts/have_liburing.sh "${CC:-gcc}"; }; then
    case "$distribution" in
    debian-11 | ubuntu-20.04 | ubuntu-22.04)
        uring=source
        have_command make || need make "builds liburing"
        have_command curl || need curl "fetches liburing's release"
        [ -e /etc/ssl/certs/ca-certificates.crt ] || need ca-certificates "fetches liburing's release"
        ;;
    *) need liburing-dev "io_uring, the network's transport" ;;
    esac
fi

[ ${#missing[@]} -gt 0 ] || [ $uring = source ] || [ ${#optional[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
    as_root=(sudo)
fi

can_install=yes
have_command apt-get || can_install=
if [ ${#as_root[@]} -gt 0 ] && ! have_command sudo; then
    can_install=
fi

stamp=build/deps-tried # optional things are tried once, not at each start
apt_updated=
apt_install() {
    if [ -z "$apt_updated" ]; then
        "${as_root[@]}" apt-get update -q >&2 || return 1
        apt_updated=yes
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
        --no-install-recommends "$@" >&2
}

list_and_fail() {
    {
        echo "$1 These packages (Debian's and Ubuntu's names) are wanted:"
        printf '%s\n' "${reasons[@]}"
    } >&2
    exit 1
}

if [ ${#missing[@]} -gt 0 ]; then
    [ -n "$can_install" ] ||
        list_and_fail "Cannot install anything here ($distribution, user $(id -un), no apt-get or no sudo)."
    echo "Installing with apt-get, because it is missing:" >&2
    printf '%s\n' "${reasons[@]}" >&2
    apt_install "${missing[@]}" ||
        list_and_fail "apt-get failed, see above: is there a network, and are the package sources right?"
fi

if [ $uring = source ] && [ ! -e "$stamp-liburing" ]; then
    mkdir -p build && : >"$stamp-liburing"
    if [ -n "$can_install" ] && scripts/install_liburing.sh "${as_root[@]}"; then
        rm -f "$stamp-liburing"
    else
        echo "No liburing here: building with the poll transport alone. To try again, remove" \
            "$stamp-liburing." >&2
    fi
fi

if [ ${#optional[@]} -gt 0 ] && [ ! -e "$stamp-${optional[0]}" ]; then
    mkdir -p build && : >"$stamp-${optional[0]}"
    echo "Installing with apt-get, for $what: ${optional[*]}" >&2
    if [ -z "$can_install" ] || ! apt_install "${optional[@]}"; then
        echo "${optional[*]} could not be installed: $what stays unavailable. All else works." >&2
    fi
fi
