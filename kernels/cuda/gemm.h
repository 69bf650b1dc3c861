/*
 * The product behind every matrix, linear layer and convolution here: C (m, n) = A (m, depth) * B
 * (depth, n), in float with fused multiply-adds, or, where a user asks for it, by tensor cores.
 * What A and B are is a struct that knows how to read itself into shared memory (gemm_load.h,
 * gemm_windows.h); where C goes, and what happens to it on the way, is a struct gemm_out.
 * gemm_frame.h holds the kernel, gemm_tile.h and gemm_tensor.h what it multiplies with, and
 * gemm_run; gemm_plan.h chooses among tiles.
 */
#ifndef KERNELS_CUDA_GEMM_H
#define KERNELS_CUDA_GEMM_H

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/divide.h"
#include "kernels/cuda/gemm_plan.h"

/* A size that indices are divided by. */
struct extent {
    int n; /* 0: it is not used */
    struct divisor by;
};

static inline struct extent extent_of(int n)
{
    struct extent e = {n, divisor_make((uint32_t)n)};
    return e;
}

/*
 * Element (i, j) is at c[i * row + (j / pixels) * image + (j % pixels / width) * y + (j % width) *
 * x]: a matrix where pixels.n is 0 (then c[i * row + j * x]), an image's channel a row else. What
 * is stored is v = alpha * sum + bias (+ what was there), or v * below where v < 0.
 */
struct gemm_out {
    float *c;
    int m, n;
    size_t row, image, y, x;
    struct extent pixels, width;
    float alpha, below; /* below: 1, or the slope of an activation that has one */
    int add;
    const float *row_bias, *column_bias; /* NULL: none */
    int vec;     /* four columns from a multiple of four on are one aligned float4 */
    size_t part; /* how far apart the parts of a split depth are, 0 else */
    enum gemm_gradient gradient;
    float lift_a, lift_b; /* what operands are multiplied by; gemm_run's */
};

/* A row-major matrix of n columns, `stride` apart; scale and the rest as plain as can be. */
struct gemm_out gemm_out_matrix(float *c, int m, int n, size_t stride);

/* The same elements of a matrix whose roles are changed: C^T (n, m). */
struct gemm_out gemm_out_transposed(float *c, int m, int n, size_t stride);

/* Images (images, channels, h, w), a row a channel, a column a pixel. */
struct gemm_out gemm_out_images(float *c, int images, int channels, int h, int w);

/* Sets out's slope where `act` is of the kind that a product can end in; returns what is left to
 * do, ACT_NONE in that case. */
enum act gemm_fuse(struct gemm_out *out, enum act act);

/* C from parts (splits, m, n). */
void gemm_sum_parts(struct device *d, const struct gemm_out *out, const float *parts, int splits);

/* A matrix as the table's gemm has it; `along_depth`: its elements along k are neighbours. */
struct gemm_matrix {
    const float *data;
    int stride, along_depth;
};

/* The table's gemm, with which of its operands is a gradient. */
void gemm_table(struct device *d, enum gemm_gradient gradient, int ta, int tb, int m, int n, int k,
                float alpha, const float *a, int lda, const float *b, int ldb, float *c, int ldc,
                int add, void *work);

/* C = A (m, depth) * B (depth, n); out as for (m, n), or, where gemm_turned, for (n, m). */
void gemm_matrices(struct device *d, struct gemm_matrix a, struct gemm_matrix b,
                   const struct gemm_out *out, int m, int n, int depth, void *work);

/* sums[i] += scale * the sum of x[image][i][pixel]; x (images, rows, pixels). In a fixed order. */
void gemm_add_row_sums(struct device *d, float *sums, const float *x, int images, int rows,
                       int pixels, float scale);

static inline size_t gemm_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Whether float4 loads may be used from p on, with rows `stride` elements apart. */
static inline int gemm_aligned(const void *p, size_t stride)
{
    return (uintptr_t)p % 16 == 0 && stride % 4 == 0;
}

#endif
