/* A product of random matrices through the table, as the tests of the CUDA kernels compare it. */
#ifndef TESTS_GEMM_CHECK_H
#define TESTS_GEMM_CHECK_H

#include "tests/check.h"

struct gemm_shape {
    int m, n, k;
};

/* c, between guards; a and b `offset` bytes from an address that suits float4. */
static inline float *gemm_product(struct device *d, int ta, int tb, struct gemm_shape s, int slack,
                                  size_t offset, int add)
{
    int lda = (ta ? s.m : s.k) + slack, ldb = (tb ? s.k : s.n) + slack, ldc = s.n + slack;
    size_t a_count = (size_t)(ta ? s.k : s.m) * (size_t)lda,
           b_count = (size_t)(tb ? s.n : s.k) * (size_t)ldb, c_count = (size_t)s.m * (size_t)ldc;
    float *a = guarded_at(a_count * sizeof(*a), offset),
          *b = guarded_at(b_count * sizeof(*b), offset);
    float *c = guarded_floats(c_count);
    random_fill(a, a_count, 1, -1, 1);
    random_fill(b, b_count, 2, -1, 1);
    random_fill(c, c_count, 3, -1, 1);
    for (int i = 0; i < s.m && !add; i++)
        poison(c + (size_t)i * (size_t)ldc, (size_t)s.n * sizeof(*c));
    void *work = guarded(d->kernels->gemm_work(d, s.m, s.n, s.k));
    d->kernels->gemm(d, ta, tb, s.m, s.n, s.k, 0.7f, a, lda, b, ldb, c, ldc, add, work);
    guarded_free(work);
    guarded_free_at(a, offset);
    guarded_free_at(b, offset);
    return c;
}

#endif
