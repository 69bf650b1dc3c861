/* act(x) of the CUDA kernels, for the activation layer and for what is fused into others: one
 * definition, so that the bits are the same. NaN stays NaN. */
#ifndef KERNELS_CUDA_ACT_H
#define KERNELS_CUDA_ACT_H

#include "kernels/cuda/cuda.h"

static __device__ __forceinline__ float cuda_act(float x, enum act act)
{
    switch (act) {
    case ACT_RELU:
        return x < 0 ? 0.0f : x;
    case ACT_LEAKY:
        return x < 0 ? x * (ACT_LEAKY_PERCENT * 0.01f) : x;
    case ACT_SIGMOID:
        return 1.0f / (1.0f + expf(-x));
    default:
        return x;
    }
}

#endif
