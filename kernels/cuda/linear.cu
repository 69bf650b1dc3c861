/* Linear layers: products of matrices (gemm_matrix.cu) that end in bias and activation. */
#include "kernels/cuda/gemm.h"

void CUDA(linear_forward)(struct device *d, float *out, const float *inp, const float *weight,
                          const float *bias, int n, int c, int k, enum act act, void *work)
{
    struct gemm_matrix x = {inp, c, 1}, w = {weight, c, 1};
    int turned = gemm_turned(n, k);
    struct gemm_out to =
        turned ? gemm_out_transposed(out, n, k, (size_t)k) : gemm_out_matrix(out, n, k, (size_t)k);
    if (turned)
        to.row_bias = bias;
    else
        to.column_bias = bias;
    act = gemm_fuse(&to, act);
    gemm_matrices(d, x, w, &to, n, k, c, work);
    if (act != ACT_NONE)
        CUDA(act_forward)(d, out, out, (size_t)n * (size_t)k, act);
}

void CUDA(linear_backward_data)(struct device *d, float *dinp, const float *dout,
                                const float *weight, int n, int c, int k, int add, void *work)
{
    gemm_table(d, GRADIENT_A, 0, 0, n, c, k, 1, dout, k, weight, c, dinp, c, add, work);
}

void CUDA(linear_backward_weights)(struct device *d, float *dweight, float *dbias,
                                   const float *dout, const float *inp, int n, int c, int k,
                                   float scale, void *work)
{
    if (dbias)
        gemm_add_row_sums(d, dbias, dout, n, k, 1, scale);
    gemm_table(d, GRADIENT_A, 1, 0, k, c, n, scale, dout, k, inp, c, dweight, c, 1, work);
}

/* Of up to n samples: fewer may be worth a split, which wants more. */
size_t CUDA(linear_work)(struct device *d, int n, int c, int k)
{
    size_t bytes = 0;
    for (int i = 1; i <= n; i++)
        bytes = gemm_max(
            bytes, gemm_max(CUDA(gemm_work)(d, i, k, c),
                            gemm_max(CUDA(gemm_work)(d, i, c, k), CUDA(gemm_work)(d, k, c, i))));
    return bytes;
}
