/*
 * Softmax and cross-entropy, a block a sample: three passes over its classes, of which the first
 * reads memory and the others the cache; 4 bytes a class, 8 with the gradient. The label's own term
 * is kept out of the sum: with it, a sure answer's loss and gradient would be lost in the rounding.
 */
#include "kernels/cuda/reduce.h"

static __global__ void softmax_xent(float *loss, float *dlogits, const float *logits,
                                    const int32_t *labels, int classes, float scale)
{
    __shared__ float shared[CUDA_WARPS];
    const float *x = logits + blockIdx.x * (size_t)classes;
    int label = labels[blockIdx.x];
    float logit = x[label], max = -INFINITY, others = 0;
    for (int k = (int)threadIdx.x; k < classes; k += (int)blockDim.x)
        max = fmaxf(max, x[k]); /* a NaN is passed over here, and makes the sum one */
    max = block_max(max, shared);
    for (int k = (int)threadIdx.x; k < classes; k += (int)blockDim.x)
        others += k == label ? 0.0f : expf(x[k] - max);
    others = block_sum(others, shared);
    float own = expf(logit - max), sum = others + own;
    if (threadIdx.x == 0)
        loss[blockIdx.x] = own == 1 ? log1pf(others) : logf(sum) - (logit - max);
    if (!dlogits)
        return;
    float *dx = dlogits + blockIdx.x * (size_t)classes;
    float factor = scale / sum;
    for (int k = (int)threadIdx.x; k < classes; k += (int)blockDim.x)
        dx[k] = k == label ? -others * factor : expf(x[k] - max) * factor;
}

void CUDA(softmax_xent)(struct device *d, float *loss, float *dlogits, const float *logits,
                        const int32_t *labels, int n, int classes, float scale)
{
    int block = CUDA_BLOCK;
    if (classes <= 4 * CUDA_WARP)
        block = CUDA_WARP;
    if (n > 0)
        LAUNCH(d, softmax_xent, (unsigned)n, block, 0, loss, dlogits, logits, labels, classes,
               scale);
}
