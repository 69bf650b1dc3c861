/*
 * Arrays in quads: four floats that one thread reads or writes at once, as a float4. That needs
 * pointers at 16 bytes; where one is not, there are no quads and every element goes alone, which is
 * coalesced too but takes four times the instructions.
 *
 *     size_t quads = cuda_quads(n, out, inp);
 *     LAUNCH_EACH(d, kernel, cuda_quads_work(n, quads), out, inp, n, quads);
 *
 *     CUDA_EACH(q, quads)         // in the kernel
 *         ((float4 *)out)[q] = ...
 *     CUDA_REST(i, quads, n)      // what follows the quads
 *         out[i] = ...
 */
#ifndef KERNELS_CUDA_QUADS_H
#define KERNELS_CUDA_QUADS_H

#include <stdint.h>

#include "kernels/cuda/cuda.h"

#define CUDA_REST(i, quads, n)                                                   \
    for (size_t i = 4 * (quads) + (size_t)blockIdx.x * blockDim.x + threadIdx.x, \
                step_ = (size_t)gridDim.x * blockDim.x;                          \
         i < (n); i += step_)

static inline int cuda_aligned(const void *p, size_t bytes)
{
    return (uintptr_t)p % bytes == 0;
}

/* How many quads the arrays of n floats have; NULL where there are fewer than three. */
static inline size_t cuda_quads(size_t n, const void *a, const void *b = NULL, const void *c = NULL)
{
    return cuda_aligned(a, 16) && cuda_aligned(b, 16) && cuda_aligned(c, 16) ? n / 4 : 0;
}

/* Threads that have something to do. The rest after the quads, three at most, goes to the first. */
static inline size_t cuda_quads_work(size_t n, size_t quads)
{
    return quads ? quads : n;
}

#endif
