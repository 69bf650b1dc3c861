/* Which tile computes a product, and into how many parts its depth is split. Plain C. */
#ifndef KERNELS_CUDA_GEMM_PLAN_H
#define KERNELS_CUDA_GEMM_PLAN_H

#include <stddef.h>

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* gemm_tile.h has each one's threads and registers. */
enum gemm_tile_kind { TILE_128x128, TILE_64x64, TILE_128x16, TILE_COUNT };

struct gemm_plan {
    enum gemm_tile_kind tile;
    int splits;   /* parts of the depth, summed in order by a second kernel; 1: none */
    int part;     /* depth of a part, a multiple of every tile's step */
    size_t bytes; /* work area */
};

/* Of C (m, n), a sum of depth products; a function of the sizes and of the GPU's number of
 * processors alone. */
struct gemm_plan gemm_plan_of(struct device *d, int m, int n, int depth);

/* Stores 10 * the compute capability that the tensor core kernels were compiled for. (queued) */
void gemm_compiled_for(struct device *d, int *capability);

/*
 * Which operand holds a gradient. Those of a mean over many samples are often smaller than what a
 * half tells apart (6e-8), so they become halves times GEMM_LIFT, a power of two, which the sums
 * are divided by. A gradient above 63 overflows then, as anything above 65504 does.
 */
enum gemm_gradient { GRADIENT_NONE, GRADIENT_A, GRADIENT_B };
enum { GEMM_LIFT = 1024 };

/* A product of few columns has a tile; one of as few rows is computed as C^T (n, m). */
enum { GEMM_THIN = 16 };

static inline int gemm_turned(int m, int n)
{
    return m <= GEMM_THIN && m < n;
}

#ifdef __cplusplus
}
#endif
#endif
