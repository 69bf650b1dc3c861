#!/bin/sh
# usage: cuda_flags.sh NVCC [ARCHS [STEPS]]
# Prints nvcc's -gencode flags. ARCHS: "72 87", "all" for every architecture of the toolkit, or "" for
# the GPU of this machine, and where there is none, one for all by PTX: the oldest that the toolkit
# has, on a Jetson's CUDA 11 sm_72 and sm_87. The last gets PTX too, for GPUs newer than the toolkit.
# With "all" a source is compiled once, to the oldest one's PTX, and that is assembled for each.
# STEPS, "70 80": architectures from which on this source has more in it (tensor cores). With "all" it is
# compiled for each of them too; without ARCHS and a GPU, for the last of them.
nvcc=$1
archs=$2
steps=${3:-}
have=$("$nvcc" --list-gpu-arch 2>/dev/null | sed -n 's/^compute_\([0-9]*\)$/\1/p' | sort -n | xargs)
[ -n "$have" ] || { echo "$nvcc --list-gpu-arch names no architecture" >&2 && exit 1; }
case $archs in
all)
    from=${have%% *} flags=
    for arch in $have; do
        case " $steps " in *" $arch "*) from=$arch ;; esac
        case $flags in
        *"compute_$from,code"*) flags="${flags%]},sm_$arch]" ;;
        *) flags="$flags -gencode arch=compute_$from,code=[compute_$from,sm_$arch]" ;;
        esac
    done
    echo "$flags"
    exit
    ;;
"")
    archs=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | tr -d . | sort -nu)
    if [ -z "$archs" ]; then
        case " $have " in
        *" 72 "*) archs="72 87" ;;
        *)
            archs=${have%% *}
            step=${steps##* }
            case " $have " in *" ${step:-none} "*) [ "$step" -le "$archs" ] || archs="$archs $step" ;; esac
            ;;
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
