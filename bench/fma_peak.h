/*
 * The ceiling of the arithmetic benches: multiply-adds that never leave the registers, in as many
 * chains as hide their latency, at the vector width of an instruction set. In assembly, so that no
 * compiler has a say in what the ceiling is.
 */
#ifndef BENCH_FMA_PEAK_H
#define BENCH_FMA_PEAK_H

#include <string.h>

#include "base/clock.h"
#include "kernels/cpu/pool.h"

enum { FMA_PEAK_ROUNDS = 300000, FMA_PEAK_CHAINS = 12 };

#define FMA_PEAK_12(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11)

#if defined(__x86_64__)
#define FMA_PEAK_LOOP(each)                                                                  \
    long rounds = FMA_PEAK_ROUNDS;                                                           \
    __asm__ volatile("1:\n\t" FMA_PEAK_12(each) "dec %0\n\tjnz 1b"                           \
                     : "+r"(rounds)                                                          \
                     :                                                                       \
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", \
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

/* The operands are zeroed first: denormals or NaN left in them could slow some CPUs down. */
#define FMA_PEAK_ZERO_Z(i) "vxorps %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n\t"
#define FMA_PEAK_ZERO_X(i) "xorps %%xmm" #i ", %%xmm" #i "\n\t"
#define FMA_PEAK_Z(i) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" #i "\n\t"
#define FMA_PEAK_Y(i) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n\t"
/* SSE2 has no fused one: a product and a sum, as the compiler would write them. */
#define FMA_PEAK_X(i) \
    "movaps %%xmm14, %%xmm13\n\tmulps %%xmm15, %%xmm13\n\taddps %%xmm13, %%xmm" #i "\n\t"

static inline void fma_peak_avx512(void *arg, int job, int worker)
{
    __asm__ volatile(FMA_PEAK_12(FMA_PEAK_ZERO_Z) FMA_PEAK_ZERO_Z(14) FMA_PEAK_ZERO_Z(15)::
                         : "xmm0", "xmm14", "xmm15");
    FMA_PEAK_LOOP(FMA_PEAK_Z);
}

static inline void fma_peak_avx2(void *arg, int job, int worker)
{
    __asm__ volatile(FMA_PEAK_12(FMA_PEAK_ZERO_Z) FMA_PEAK_ZERO_Z(14) FMA_PEAK_ZERO_Z(15)::
                         : "xmm0", "xmm14", "xmm15");
    FMA_PEAK_LOOP(FMA_PEAK_Y);
}

static inline void fma_peak_plain(void *arg, int job, int worker)
{
    __asm__ volatile(FMA_PEAK_12(FMA_PEAK_ZERO_X) FMA_PEAK_ZERO_X(14) FMA_PEAK_ZERO_X(15)::
                         : "xmm0", "xmm14", "xmm15");
    FMA_PEAK_LOOP(FMA_PEAK_X);
}
#elif defined(__aarch64__)
#define FMA_PEAK_ZERO_V(i) "movi v" #i ".4s, #0\n\t"
#define FMA_PEAK_V(i) "fmla v" #i ".4s, v14.4s, v15.4s\n\t"

static inline void fma_peak_plain(void *arg, int job, int worker)
{
    long rounds = FMA_PEAK_ROUNDS;
    __asm__ volatile(FMA_PEAK_12(FMA_PEAK_ZERO_V) FMA_PEAK_ZERO_V(14) FMA_PEAK_ZERO_V(
                         15) "1:\n\t" FMA_PEAK_12(FMA_PEAK_V) "subs %0, %0, #1\n\tb.ne 1b"
                     : "+r"(rounds)
                     :
                     : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10",
                       "v11", "v14", "v15");
}
#endif

/* The job that measures, and how many floats its vectors have. */
static inline pool_fn *fma_peak_job(const char *isa, int *floats)
{
    *floats = 4;
#if defined(__x86_64__)
    if (strcmp(isa, "avx512") == 0) {
        *floats = 16;
        return fma_peak_avx512;
    }
    if (strcmp(isa, "avx2") == 0) {
        *floats = 8;
        return fma_peak_avx2;
    }
#endif
    return fma_peak_plain;
}

/* GFLOP/s of all threads of the pool together: the best of `tries`, for others only take away. */
static inline double fma_peak_gflops(struct pool *p, const char *isa, int tries)
{
    int floats, jobs = 4 * pool_threads(p);
    pool_fn *job = fma_peak_job(isa, &floats);
    double flops = 2.0 * floats * FMA_PEAK_CHAINS * FMA_PEAK_ROUNDS * jobs, best = 0;
    for (int i = 0; i < tries; i++) {
        uint64_t start = clock_now_ns();
        pool_run(p, jobs, job, NULL);
        double rate = 1e-9 * flops / clock_seconds_since(start);
        if (rate > best)
            best = rate;
    }
    return best;
}

#endif
