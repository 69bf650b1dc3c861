/*
 * Products in float (gemm_frame.h), and gemm_run, which every product goes through. A thread
 * computes TM x TN of C in registers; a warp's threads lie LANES_N wide: a k step reads 16 bytes of
 * A and of B for every four rows and columns of a thread.
 *
 * What a block takes, by ptxas 13 for sm_75, 80 and 90, all operands, and how many of them a
 * processor holds (64 K registers; 64 KB of shared memory on sm_75, more on others). Nothing is
 * spilled but 4 bytes of one 128 x 16 kernel. Not yet run on a GPU.
 *
 *   tile       threads  a thread's  steps of k  shared    registers   blocks
 *   128 x 128  256      8 x 8       8           16 to 19  121 to 128  2, by registers
 *   64 x 64    128      8 x 4       16          17 to 18  98 to 111   4, by registers; 3 on sm_75
 *   128 x 16   128      4 x 4       16          19 to 20  78 to 80    6, by registers; 3 on sm_75
 *
 * 64 x 64 is for products that make few blocks, 128 x 16 for few columns, where reading A is what
 * takes the time and bytes on their way count.
 */
#ifndef KERNELS_CUDA_GEMM_TILE_H
#define KERNELS_CUDA_GEMM_TILE_H

#include "kernels/cuda/gemm_frame.h"

template <int BM_, int BN_, int TM_, int TN_, int DEPTH_, int BLOCKS_> struct gemm_tile {
    typedef gemm_float number;
    enum {
        COMPILED = 1,
        BM = BM_,
        BN = BN_,
        TM = TM_,
        TN = TN_,
        DEPTH = DEPTH_,
        BLOCKS = BLOCKS_,
        STAGE = 0,
        WIDE = BN / TN,
        THREADS = BM / TM * WIDE,
        LANES_N = WIDE < 8 ? WIDE : 8,
        LANES_M = 32 / LANES_N,
        WARPS_N = WIDE / LANES_N
    };

    struct sums {
        float sum[TM][TN];
        int row, column; /* the thread's first; others follow in fours, this far apart: */
        enum { APART_M = 4 * BM / TM, APART_N = 4 * BN / TN };

        __device__ inline void init(int thread)
        {
            const int lane = thread % 32, warp = thread / 32;
            row = (warp / WARPS_N * LANES_M + lane / LANES_N) * 4;
            column = (warp % WARPS_N * LANES_N + lane % LANES_N) * 4;
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++)
                    sum[i][j] = 0;
        }

        template <class LA, class LB>
        __device__ inline void step(const float *shared_a, const float *shared_b)
        {
#pragma unroll
            for (int k = 0; k < DEPTH; k++) {
                float x[TM], y[TN];
#pragma unroll
                for (int i = 0; i < TM; i += 4)
                    *(float4 *)&x[i] = *(const float4 *)&shared_a[LA::at(row + i / 4 * APART_M, k)];
#pragma unroll
                for (int j = 0; j < TN; j += 4)
                    *(float4 *)&y[j] =
                        *(const float4 *)&shared_b[LB::at(column + j / 4 * APART_N, k)];
#pragma unroll
                for (int i = 0; i < TM; i++)
#pragma unroll
                    for (int j = 0; j < TN; j++)
                        sum[i][j] += x[i] * y[j];
            }
        }

        __device__ inline void store(const struct gemm_out &out, int row0, int column0,
                                     unsigned part, float *)
        {
            gemm_store_tile<gemm_tile>(out, sum, row0 + row, column0 + column, part);
        }
    };
};

typedef gemm_tile<128, 128, 8, 8, 8, 2> tile_128x128;
typedef gemm_tile<64, 64, 8, 4, 16, 4> tile_64x64;
typedef gemm_tile<128, 16, 4, 4, 16, 6> tile_128x16;

/* The same by tensor cores, as d->math says; gemm_tensor_*.cu hold it for each pair of operands. */
template <class A, class B>
void gemm_tensor_launch(struct device *d, const A &a, const B &b, const struct gemm_out *out,
                        int depth, const struct gemm_plan *plan);

/* C (out->m, out->n) = A * B; work of gemm_plan's bytes. (queued) */
template <class A, class B>
static void gemm_run(struct device *d, const A &a, const B &b, const struct gemm_out *out,
                     int depth, void *work)
{
    if (out->m <= 0 || out->n <= 0)
        return;
    struct gemm_plan plan = gemm_plan_of(d, out->m, out->n, depth);
    struct gemm_out end = *out, to = *out;
    if (plan.splits > 1) {
        to = gemm_out_matrix((float *)work, out->m, out->n, (size_t)out->n);
        to.part = (size_t)out->m * (size_t)out->n;
    }
    if (cuda_of(d)->math == MATH_FP16 && out->gradient != GRADIENT_NONE) {
        (out->gradient == GRADIENT_A ? to.lift_a : to.lift_b) = GEMM_LIFT;
        (plan.splits > 1 ? end : to).alpha /= GEMM_LIFT;
    }
    if (cuda_of(d)->math != MATH_FP32)
        gemm_tensor_launch(d, a, b, &to, depth, &plan);
    else if (plan.tile == TILE_128x128)
        gemm_launch<tile_128x128>(d, a, b, &to, depth, &plan);
    else if (plan.tile == TILE_64x64)
        gemm_launch<tile_64x64>(d, a, b, &to, depth, &plan);
    else
        gemm_launch<tile_128x16>(d, a, b, &to, depth, &plan);
    if (plan.splits > 1)
        gemm_sum_parts(d, &end, (const float *)work, plan.splits);
}

#endif
