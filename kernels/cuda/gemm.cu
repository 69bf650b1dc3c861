/* The table's gemm: row-major matrices with strides. */
#include "kernels/cuda/gemm.h"

void gemm_table(struct device *d, enum gemm_gradient gradient, int ta, int tb, int m, int n, int k,
                float alpha, const float *a, int lda, const float *b, int ldb, float *c, int ldc,
                int add, void *work)
{
    struct gemm_matrix x = {a, lda, !ta}, y = {b, ldb, !!tb};
    struct gemm_out out = gemm_turned(m, n) ? gemm_out_transposed(c, m, n, (size_t)ldc)
                                            : gemm_out_matrix(c, m, n, (size_t)ldc);
    out.alpha = alpha;
    out.add = add;
    out.gradient = gradient;
    gemm_matrices(d, x, y, &out, m, n, k, work);
}

void CUDA(gemm)(struct device *d, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                int lda, const float *b, int ldb, float *c, int ldc, int add, void *work)
{
    gemm_table(d, GRADIENT_NONE, ta, tb, m, n, k, alpha, a, lda, b, ldb, c, ldc, add, work);
}

size_t CUDA(gemm_work)(struct device *d, int m, int n, int k)
{
    return gemm_turned(m, n) ? gemm_plan_of(d, n, m, k).bytes : gemm_plan_of(d, m, n, k).bytes;
}
