/* Where the results of a product go, and the sum of the parts of a split depth. */
#include "kernels/cuda/gemm_store.h"

/* A thread an element, parts in order. */
static __global__ void gemm_sum(const struct gemm_out out, const float *parts, int splits,
                                struct extent columns)
{
    const size_t count = (size_t)out.m * (size_t)out.n;
    CUDA_EACH(e, count) {
        int i = (int)divide((unsigned)e, columns.by), j = (int)e - i * columns.n;
        float sum = 0;
#pragma unroll 8
        for (int part = 0; part < splits; part++)
            sum += parts[part * count + e];
        float *to = &out.c[(size_t)i * out.row + gemm_column(out, j)];
        float bias =
            (out.column_bias ? out.column_bias[j] : 0) + (out.row_bias ? out.row_bias[i] : 0);
        *to = gemm_value(out, sum, out.add ? *to : 0, bias);
    }
}

void gemm_sum_parts(struct device *d, const struct gemm_out *out, const float *parts, int splits)
{
    size_t count = (size_t)out->m * (size_t)out->n;
    LAUNCH_EACH(d, gemm_sum, count, *out, parts, splits, extent_of(out->n));
}

struct gemm_out gemm_out_matrix(float *c, int m, int n, size_t stride)
{
    struct gemm_out out = {};
    out.c = c;
    out.m = m;
    out.n = n;
    out.row = stride;
    out.x = 1;
    out.alpha = 1;
    out.below = 1;
    out.lift_a = out.lift_b = 1;
    out.vec = gemm_aligned(c, stride) && n % 4 == 0;
    return out;
}

struct gemm_out gemm_out_transposed(float *c, int m, int n, size_t stride)
{
    struct gemm_out out = gemm_out_matrix(c, n, m, 1);
    out.x = stride;
    out.vec = 0;
    return out;
}

struct gemm_out gemm_out_images(float *c, int images, int channels, int h, int w)
{
    struct gemm_out out = gemm_out_matrix(c, channels, images * h * w, (size_t)h * (size_t)w);
    out.image = (size_t)channels * out.row;
    out.y = (size_t)w;
    out.pixels = extent_of(h * w);
    out.width = extent_of(w);
    return out;
}

enum act gemm_fuse(struct gemm_out *out, enum act act)
{
    if (act == ACT_SIGMOID)
        return act;
    if (act == ACT_RELU)
        out->below = 0;
    if (act == ACT_LEAKY)
        out->below = ACT_LEAKY_PERCENT * 0.01f;
    return ACT_NONE;
}
