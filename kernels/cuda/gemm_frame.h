/*
 * What every tile kernel of gemm.h does, whatever it multiplies with. A block computes BM x BN of
 * C. Step by step DEPTH columns of A and rows of B go through shared memory, in two buffers: while
 * one is computed, the next is on its way into registers, so that a step has one barrier.
 *
 * A tile is a struct with BM, BN, DEPTH, THREADS, BLOCKS (of them at least on a processor), and
 *
 *     number   what shared memory holds (gemm_load.h)
 *     COMPILED 0: this compilation is for GPUs that lack it, and the kernel is empty
 *     STAGE    elements of shared memory that `store` wants for itself
 *     sums     a thread's: init; step <layouts of A, B>, the products of one step; store
 */
#ifndef KERNELS_CUDA_GEMM_FRAME_H
#define KERNELS_CUDA_GEMM_FRAME_H

#include "kernels/cuda/gemm_load.h"
#include "kernels/cuda/gemm_store.h"

template <class T, int COMPILED> struct gemm_block {
    /* Block (tile, part): tiles run down C's columns, so that neighbours share B. */
    template <class A, class B>
    static __device__ inline void run(const A &a, const B &b, const struct gemm_out &out, int depth,
                                      int part)
    {
        typedef typename A::template loader<T::BM, T::DEPTH, T::THREADS> loader_a;
        typedef typename B::template loader<T::BN, T::DEPTH, T::THREADS> loader_b;
        typedef gemm_layout<typename T::number, T::BM, T::DEPTH, A::ALONG_DEPTH> layout_a;
        typedef gemm_layout<typename T::number, T::BN, T::DEPTH, B::ALONG_DEPTH> layout_b;
        enum {
            A_STEP = layout_a::SIZE,
            B_STEP = layout_b::SIZE,
            STEPS = 2 * (layout_a::SIZE + layout_b::SIZE),
            STAGE = T::STAGE,
            TAP_STEP = B::SHARED_PER_STEP * T::DEPTH,
            TAPS = 2 * TAP_STEP + B::SHARED_PER_OUTER * T::BN
        };
        __shared__ __align__(32)
            typename T::number::element shared[(int)STEPS > (int)STAGE ? (int)STEPS : (int)STAGE];
        __shared__ __align__(16) struct tap taps[TAPS > 0 ? TAPS : 1];
        typename T::number::element *const shared_a = shared, *const shared_b = shared + 2 * A_STEP;

        const int thread = (int)threadIdx.x;
        const int tiles_m = (out.m + T::BM - 1) / T::BM;
        const int row0 = (int)(blockIdx.x % (unsigned)tiles_m) * T::BM;
        const int column0 = (int)(blockIdx.x / (unsigned)tiles_m) * T::BN;
        const int from = (int)blockIdx.y * part;
        const int steps = ((depth - from < part ? depth - from : part) + T::DEPTH - 1) / T::DEPTH;

        typename T::sums sums;
        sums.init(thread);
        loader_a of_a;
        loader_b of_b;
        of_a.init(a, row0, thread, taps);
        of_b.init(b, column0, thread, taps);
        loader_b::prepare(b, from, thread, taps);
        loader_b::prepare(b, from + T::DEPTH, thread, taps + TAP_STEP);
        __syncthreads();
        of_a.fetch(a, from, thread, taps);
        of_b.fetch(b, from, thread, taps);
        of_a.template store<layout_a>(shared_a, thread, out.lift_a);
        of_b.template store<layout_b>(shared_b, thread, out.lift_b);
        __syncthreads();
        for (int step = 0; step < steps; step++) {
            const int now = step & 1, next = now ^ 1, k = from + (step + 1) * T::DEPTH;
            const int more = step + 1 < steps;
            if (more) {
                of_a.fetch(a, k, thread, taps + next * TAP_STEP);
                of_b.fetch(b, k, thread, taps + next * TAP_STEP);
                loader_b::prepare(b, k + T::DEPTH, thread, taps + now * TAP_STEP);
            }
            sums.template step<layout_a, layout_b>(shared_a + now * A_STEP,
                                                   shared_b + now * B_STEP);
            if (more) {
                of_a.template store<layout_a>(shared_a + next * A_STEP, thread, out.lift_a);
                of_b.template store<layout_b>(shared_b + next * B_STEP, thread, out.lift_b);
                __syncthreads();
            }
        }
        sums.store(out, row0, column0, blockIdx.y, shared);
    }
};

template <class T> struct gemm_block<T, 0> {
    template <class A, class B>
    static __device__ inline void run(const A &, const B &, const struct gemm_out &, int, int)
    {
    }
};

template <class T, class A, class B>
static __global__ void __launch_bounds__(T::THREADS, T::BLOCKS)
    gemm_kernel(const A a, const B b, const struct gemm_out out, int depth, int part)
{
    gemm_block<T, T::COMPILED>::run(a, b, out, depth, part);
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

#endif
