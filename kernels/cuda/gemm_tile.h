/*
 * The kernel of gemm.h. A block computes BM x BN of C, a thread TM x TN of that in registers. Step
 * by step DEPTH columns of A and rows of B go through shared memory, in two buffers: while one is
 * computed, the next is on its way into registers, so that a step has one barrier. A warp's threads
 * lie LANES_N wide: a k step reads 16 bytes of A and of B for every four rows and columns of a
 * thread.
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

#include "kernels/cuda/gemm_load.h"
#include "kernels/cuda/gemm_store.h"

template <int BM_, int BN_, int TM_, int TN_, int DEPTH_, int BLOCKS_> struct gemm_tile {
    enum {
        BM = BM_,
        BN = BN_,
        TM = TM_,
        TN = TN_,
        DEPTH = DEPTH_,
        BLOCKS = BLOCKS_, /* at least, a processor */
        WIDE = BN / TN,
        THREADS = BM / TM * WIDE,
        LANES_N = WIDE < 8 ? WIDE : 8,
        LANES_M = 32 / LANES_N,
        WARPS_N = WIDE / LANES_N
    };
};

typedef gemm_tile<128, 128, 8, 8, 8, 2> tile_128x128;
typedef gemm_tile<64, 64, 8, 4, 16, 4> tile_64x64;
typedef gemm_tile<128, 16, 4, 4, 16, 6> tile_128x16;

/* sum += the products of one step. first: the thread's first row or column; others follow in fours,
 * APART apart. */
template <class T>
static __device__ inline void gemm_step(float sum[T::TM][T::TN], const float *a, const float *b)
{
    enum { APART_M = 4 * T::BM / T::TM, APART_N = 4 * T::BN / T::TN };
#pragma unroll
    for (int k = 0; k < T::DEPTH; k++) {
        float x[T::TM], y[T::TN];
#pragma unroll
        for (int i = 0; i < T::TM; i += 4)
            *(float4 *)&x[i] = *(const float4 *)&a[k * (T::BM + GEMM_PAD) + i / 4 * APART_M];
#pragma unroll
        for (int j = 0; j < T::TN; j += 4)
            *(float4 *)&y[j] = *(const float4 *)&b[k * (T::BN + GEMM_PAD) + j / 4 * APART_N];
#pragma unroll
        for (int i = 0; i < T::TM; i++)
#pragma unroll
            for (int j = 0; j < T::TN; j++)
                sum[i][j] += x[i] * y[j];
    }
}

/* Block (tile, part): tiles run down C's columns, so that neighbours share B. */
template <class T, class A, class B>
static __global__ void __launch_bounds__(T::THREADS, T::BLOCKS)
    gemm_kernel(const A a, const B b, const struct gemm_out out, int depth, int part)
{
    typedef typename A::template loader<T::BM, T::DEPTH, T::THREADS> loader_a;
    typedef typename B::template loader<T::BN, T::DEPTH, T::THREADS> loader_b;
    enum {
        A_STEP = T::DEPTH * (T::BM + GEMM_PAD),
        B_STEP = T::DEPTH * (T::BN + GEMM_PAD),
        TAP_STEP = B::SHARED_PER_STEP * T::DEPTH,
        TAPS = 2 * TAP_STEP + B::SHARED_PER_OUTER * T::BN
    };
    __shared__ __align__(16) float shared_a[2 * A_STEP];
    __shared__ __align__(16) float shared_b[2 * B_STEP];
    __shared__ __align__(16) struct tap taps[TAPS > 0 ? TAPS : 1];

    const int thread = (int)threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int row = (warp / T::WARPS_N * T::LANES_M + lane / T::LANES_N) * 4;
    const int column = (warp % T::WARPS_N * T::LANES_N + lane % T::LANES_N) * 4;
    const int tiles_m = (out.m + T::BM - 1) / T::BM;
    const int row0 = (int)(blockIdx.x % (unsigned)tiles_m) * T::BM;
    const int column0 = (int)(blockIdx.x / (unsigned)tiles_m) * T::BN;
    const int from = (int)blockIdx.y * part;
    const int steps = ((depth - from < part ? depth - from : part) + T::DEPTH - 1) / T::DEPTH;

    float sum[T::TM][T::TN];
#pragma unroll
    for (int i = 0; i < T::TM; i++)
#pragma unroll
        for (int j = 0; j < T::TN; j++)
            sum[i][j] = 0;

    loader_a of_a;
    loader_b of_b;
    of_a.init(a, row0, thread, taps);
    of_b.init(b, column0, thread, taps);
    loader_b::prepare(b, from, thread, taps);
    loader_b::prepare(b, from + T::DEPTH, thread, taps + TAP_STEP);
    __syncthreads();
    of_a.fetch(a, from, thread, taps);
    of_b.fetch(b, from, thread, taps);
    of_a.store(shared_a, thread);
    of_b.store(shared_b, thread);
    __syncthreads();
    for (int step = 0; step < steps; step++) {
        const int now = step & 1, next = now ^ 1, k = from + (step + 1) * T::DEPTH;
        const int more = step + 1 < steps;
        if (more) {
            of_a.fetch(a, k, thread, taps + next * TAP_STEP);
            of_b.fetch(b, k, thread, taps + next * TAP_STEP);
            loader_b::prepare(b, k + T::DEPTH, thread, taps + now * TAP_STEP);
        }
        gemm_step<T>(sum, shared_a + now * A_STEP + row, shared_b + now * B_STEP + column);
        if (more) {
            of_a.store(shared_a + next * A_STEP, thread);
            of_b.store(shared_b + next * B_STEP, thread);
            __syncthreads();
        }
    }
    gemm_store_tile<T>(out, sum, row0 + row, column0 + column, blockIdx.y);
}

template <class T, class A, class B>
static void gemm_launch(struct device *d, const A &a, const B &b, const struct gemm_out *out,
                        int depth, const struct gemm_plan *plan)
{
    unsigned tiles =
        (unsigned)((out->m + T::BM - 1) / T::BM) * (unsigned)((out->n + T::BN - 1) / T::BN);
    dim3 grid(tiles, (unsigned)plan->splits);
    LAUNCH(d, (gemm_kernel<T, A, B>), grid, T::THREADS, 0, a, b, *out, depth, plan->part);
}

/* C (out->m, out->n) = A * B; work of gemm_plan's bytes. (queued) */
template <class A, class B>
static void gemm_run(struct device *d, const A &a, const B &b, const struct gemm_out *out,
                     int depth, void *work)
{
    if (out->m <= 0 || out->n <= 0)
        return;
    struct gemm_plan plan = gemm_plan_of(d, out->m, out->n, depth);
    struct gemm_out to = *out;
    if (plan.splits > 1) {
        to = gemm_out_matrix((float *)work, out->m, out->n, (size_t)out->n);
        to.part = (size_t)out->m * (size_t)out->n;
    }
    switch (plan.tile) {
    case TILE_128x128:
        gemm_launch<tile_128x128>(d, a, b, &to, depth, &plan);
        break;
    case TILE_64x64:
        gemm_launch<tile_64x64>(d, a, b, &to, depth, &plan);
        break;
    default:
        gemm_launch<tile_128x16>(d, a, b, &to, depth, &plan);
    }
    if (plan.splits > 1)
        gemm_sum_parts(d, out, (const float *)work, plan.splits);
}

#endif
