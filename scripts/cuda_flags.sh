#!/bin/sh
# usage: cuda_flags.sh NVCC [ARCHS]
# Prints nvcc's -gencode flags. ARCHS: "72 87", "all" for every architecture of the toolkit, or "" for
# the GPU of this machine, and where there is none, one for all by PTX: the oldest that the toolkit
# has, on a Jetson's CUDA 11 sm_72 and sm_87. The last gets PTX too, for GPUs newer than the toolkit.
# With "all" the sources are compiled once, to the oldest one's PTX, and that is assembled for each: no
# source asks for which architecture it is compiled.
nvcc=$1
archs=$2
have=$("$nvcc" --list-gpu-arch 2>/dev/null | sed -n 's/^compute_\([0-9]*\)$/\1/p' | sort -n | xargs)
[ -n "$have" ] || { echo "$nvcc --list-gpu-arch names no architecture" >&2 && exit 1; }
case $archs in
all)
    codes=$(echo " $have" | sed 's/ /,sm_/g')
    echo "-gencode arch=compute_${have%% *},code=[compute_${have%% *}$codes]"
    exit
    ;;
"")
    archs=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | tr -d . | sort -nu)
    if [ -z "$archs" ]; then
        case " $have " in
        *" 72 "*) archs="72 87" ;;
        *) archs=${have%% *} ;;
        esac
    fi
    ;;
esac
flags=
for arch in $archs; do
    case " $have " in
    *" $arch "*) ;;
    *) echo "CUDA_ARCHS: $nvcc has no sm_$arch, it has: $have" >&2 && exit 1 ;;
    esac
    flags="$flags -gencode arch=compute_$arch,code=sm_$arch"
    last=$arch
done
echo "$flags -gencode arch=compute_$last,code=compute_$last"
