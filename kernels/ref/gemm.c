/* The matrix product, as its definition says. */
#include "kernels/ref/ref.h"

void ref_gemm(struct device *d, int ta, int tb, int m, int n, int k, float alpha, const float *a,
              int lda, const float *b, int ldb, float *c, int ldc, int add, void *work)
{
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int p = 0; p < k; p++) {
                float x = ta ? a[(size_t)p * lda + i] : a[(size_t)i * lda + p];
                float y = tb ? b[(size_t)j * ldb + p] : b[(size_t)p * ldb + j];
                sum += (double)x * y;
            }
            float *to = &c[(size_t)i * ldc + j];
            *to = (float)(alpha * sum + (add ? *to : 0));
        }
    }
}

size_t ref_gemm_work(struct device *d, int m, int n, int k)
{
    return 0;
}
