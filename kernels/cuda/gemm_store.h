/* Where a tile's sums go: into C by way of scale, bias and slope. */
#ifndef KERNELS_CUDA_GEMM_STORE_H
#define KERNELS_CUDA_GEMM_STORE_H

#include "kernels/cuda/gemm.h"

static __device__ inline size_t gemm_column(const struct gemm_out &out, int j)
{
    if (!out.pixels.n)
        return (size_t)j * out.x;
    unsigned image = divide((unsigned)j, out.pixels.by);
    unsigned rest = (unsigned)j - image * (unsigned)out.pixels.n;
    unsigned y = divide(rest, out.width.by), x = rest - y * (unsigned)out.width.n;
    return image * out.image + y * out.y + x * out.x;
}

/* What is stored where `was` stood. A ReLU's zero is +0, as the activation layer's. */
static __device__ inline float gemm_value(const struct gemm_out &out, float sum, float was,
                                          float bias)
{
    float v = out.alpha * sum + bias + was;
    return v < 0 ? (out.below == 0 ? 0 : v * out.below) : v;
}

/* A thread's sums; its first row and column. */
template <class T>
static __device__ inline void gemm_store_tile(const struct gemm_out &out,
                                              const float sum[T::TM][T::TN], int row, int column,
                                              unsigned part)
{
    enum { APART_M = 4 * T::BM / T::TM, APART_N = 4 * T::BN / T::TN };
#pragma unroll
    for (int jj = 0; jj < T::TN; jj += 4) {
        const int j = column + jj / 4 * APART_N, count = out.n - j;
        size_t at[4];
        float bias[4] = {0, 0, 0, 0};
        if (count <= 0)
            break;
#pragma unroll
        for (int e = 0; e < 4; e++) {
            at[e] = part * out.part + gemm_column(out, j + e);
            if (out.column_bias && e < count)
                bias[e] = out.column_bias[j + e];
        }
#pragma unroll
        for (int ii = 0; ii < T::TM; ii++) {
            const int i = row + ii / 4 * APART_M + ii % 4;
            if (i >= out.m)
                break;
            float *to = out.c + (size_t)i * out.row, v[4];
            const float of_row = out.row_bias ? out.row_bias[i] : 0;
            float4 was = make_float4(0, 0, 0, 0);
            if (out.add && out.vec)
                was = *(const float4 *)&to[at[0]];
            else if (out.add)
                was = make_float4(to[at[0]], count > 1 ? to[at[1]] : 0, count > 2 ? to[at[2]] : 0,
                                  count > 3 ? to[at[3]] : 0);
            v[0] = gemm_value(out, sum[ii][jj], was.x, bias[0] + of_row);
            v[1] = gemm_value(out, sum[ii][jj + 1], was.y, bias[1] + of_row);
            v[2] = gemm_value(out, sum[ii][jj + 2], was.z, bias[2] + of_row);
            v[3] = gemm_value(out, sum[ii][jj + 3], was.w, bias[3] + of_row);
            if (out.vec) {
                *(float4 *)&to[at[0]] = make_float4(v[0], v[1], v[2], v[3]);
                continue;
            }
#pragma unroll
            for (int e = 0; e < 4; e++)
                if (e < count)
                    to[at[e]] = v[e];
        }
    }
}

#endif
