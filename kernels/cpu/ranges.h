/*
 * Splits n elements over the pool in blocks of a fixed size: what an element's result is cannot
 * depend on the number of threads, and what fits into one block runs in place and wakes nobody.
 */
#ifndef KERNELS_CPU_RANGES_H
#define KERNELS_CPU_RANGES_H

#include "kernels/cpu/cpu.h"

/* Elements; a multiple of every block of random numbers. 128 KiB of floats: some 10 us from memory,
 * above what waking a worker costs. */
enum { RANGE_BLOCK = 32768 };

/*
 * Before an elementwise loop: its arrays are the same or do not overlap, so it vectorises in place
 * too (else the compiler's own test for overlap sends in == out down the scalar path).
 */
#ifdef __clang__
#define ELEMENTWISE _Pragma("clang loop vectorize(assume_safety)")
#else
#define ELEMENTWISE _Pragma("GCC ivdep")
#endif

typedef void range_fn(const void *arg, size_t from, size_t to);

struct ranges {
    range_fn *fn;
    const void *arg;
    size_t n, block;
};

static inline void ranges_job(void *arg, int job, int worker)
{
    const struct ranges *r = arg;
    size_t from = (size_t)job * r->block, to = from + r->block;
    r->fn(r->arg, from, to < r->n ? to : r->n);
}

/* fn(arg, from, to) for all of 0 .. n-1, in runs of `block`. */
static inline void ranges_run(struct device *d, size_t n, size_t block, range_fn *fn,
                              const void *arg)
{
    struct ranges r = {fn, arg, n, block};
    pool_run(cpu_pool(d), (int)((n + block - 1) / block), ranges_job, &r);
}

#endif
