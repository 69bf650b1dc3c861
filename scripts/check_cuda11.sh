#!/usr/bin/env bash
# usage: [CUDNN_INCLUDE=DIR] check_cuda11.sh
#
# Compiles kernels/cuda for a Jetson AGX Xavier (sm_72), and sm_87, with CUDA 11.8, warnings as
# errors. The toolkit is Debian's, of the component non-free, unpacked under build/cuda11 and not
# installed: 900 MB to fetch at the first run. Exit 77 where it cannot be had. CUDNN_INCLUDE: headers of
# cuDNN 8, as of the wheel nvidia-cudnn-cu11; without them the calls of cuDNN are left out.
# shellcheck disable=SC1091,SC2016 # /etc/os-release; apt's own $(SITE)
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD/build/cuda11
packages=(nvidia-cuda-toolkit nvidia-cuda-dev libnvvm4 libcudart11.0 g++-11 gcc-11 cpp-11
    gcc-11-base libgcc-11-dev libstdc++-11-dev)

# apt with lists and a cache of its own: nothing of this machine's changes.
apt_here() {
    apt-get -o Dir::Etc::sourcelist="$root/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$root/lists" -o Dir::Cache="$root/cache" -o APT::Sandbox::User=root \
        -o Debug::NoLocking=1 -q=1 "$@"
}

fetch() {
    local mirror suite key=/usr/share/keyrings/debian-archive-keyring.gpg
    command -v apt-get dpkg-deb >/dev/null || { echo "no apt: CUDA 11 cannot be fetched" && exit 77; }
    mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -v security | head -n 1)
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    if [ -z "$mirror" ] || [ -z "$suite" ] || [ ! -e "$key" ]; then
        echo "this is no Debian with a mirror: CUDA 11 cannot be fetched"
        exit 77
    fi
    mkdir -p "$root/lists/partial" "$root/cache/archives/partial" "$root/deb"
    echo "deb [signed-by=$key] $mirror $suite main contrib non-free" >"$root/sources.list"
    apt_here update || { echo "the mirror has no component non-free" && exit 77; }
    (cd "$root/deb" && apt_here download "${packages[@]}") ||
        { echo "the mirror lacks CUDA 11" && exit 77; }
    for deb in "$root"/deb/*.deb; do
        dpkg-deb -x "$deb" "$root/tree"
    done
    rm -r "$root/deb" # it is large
}

nvcc=$root/tree/usr/lib/nvidia-cuda-toolkit/bin/nvcc
[ -x "$nvcc" ] || fetch
export PATH=$root/tree/usr/lib/nvidia-cuda-toolkit/bin:$root/tree/usr/bin:$PATH
machine=$(uname -m)-linux-gnu
export LD_LIBRARY_PATH=$root/tree/usr/lib/$machine
"$nvcc" --version | sed -n 's/.*release //p'

mkdir -p "$root/out"
check() { # SOURCE
    local extra=()
    case $1 in */fill.cu | */dropout.cu) extra=(-fmad=false) ;; esac
    echo "  NVCC  $1 (CUDA 11)"
    "$nvcc" -std=c++14 -O3 -ccbin "$root/tree/usr/bin/g++-11" -I. -I"$root/tree/usr/include" \
        -Xcompiler -B"$root/tree/usr/lib/gcc/$machine/11" \
        -Xcompiler -isystem"$root/tree/usr/include/c++/11" \
        -Xcompiler -isystem"$root/tree/usr/include/$machine/c++/11" \
        -gencode arch=compute_72,code=sm_72 -gencode arch=compute_87,code=sm_87 \
        -Xcompiler -fPIE,-Wall,-Wextra,-fno-exceptions,-fno-rtti,-Wno-unused-parameter \
        -Werror all-warnings "${extra[@]}" -c -o "$root/out/$(basename "$1" .cu).o" "$1"
}
export -f check
export nvcc root machine
printf '%s\n' kernels/cuda/*.cu | xargs -P "$(nproc)" -I{} bash -c 'set -e; check {}'
for source in kernels/cuda/*.c; do
    [ "$source" = kernels/cuda/no_cuda.c ] && continue
    cc -std=gnu11 -D_GNU_SOURCE -I. ${CUDNN_INCLUDE:+"-I$CUDNN_INCLUDE"} -I"$root/tree/usr/include" -Wall -Wextra -Werror \
        -Wno-unused-parameter -c -o "$root/out/$(basename "$source" .c).c.o" "$source"
done
echo "CUDA 11 compiles kernels/cuda for sm_72 and sm_87${CUDNN_INCLUDE:+, with cuDNN 8}"
