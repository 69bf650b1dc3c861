/*
 * Sums over a warp and over a block in a fixed order: the same bits run to run, on every GPU. All
 * threads must call them; blocks are whole warps. `shared` is the caller's, an element a warp,
 * and free again when the call returns.
 */
#ifndef KERNELS_CUDA_REDUCE_H
#define KERNELS_CUDA_REDUCE_H

#include "kernels/cuda/cuda.h"

enum { CUDA_WARP = 32, CUDA_WARPS = CUDA_BLOCK / CUDA_WARP };

/* Every lane gets the sum. */
static __device__ __forceinline__ float warp_sum(float x)
{
    for (int step = CUDA_WARP / 2; step > 0; step /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

static __device__ __forceinline__ float warp_max(float x)
{
    for (int step = CUDA_WARP / 2; step > 0; step /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}

/* The warps' values, each the x of its first thread, joined in their order. Every thread gets the
 * result. */
template <typename T, typename JOIN>
static __device__ __forceinline__ T block_join(T x, T *shared, JOIN join)
{
    if (threadIdx.x % CUDA_WARP == 0)
        shared[threadIdx.x / CUDA_WARP] = x;
    __syncthreads();
    x = shared[0];
    for (unsigned w = 1; w < blockDim.x / CUDA_WARP; w++)
        x = join(x, shared[w]);
    __syncthreads();
    return x;
}

static __device__ __forceinline__ float block_sum(float x, float *shared)
{
    return block_join(warp_sum(x), shared, [](float a, float b) { return a + b; });
}

static __device__ __forceinline__ float block_max(float x, float *shared)
{
    return block_join(warp_max(x), shared, [](float a, float b) { return fmaxf(a, b); });
}

#endif
