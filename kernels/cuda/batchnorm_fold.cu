/*
 * Batch-norm's running statistics, scale and shift as a convolution's weights and bias: a block an
 * output of the convolution; 8 bytes a weight. It runs once, when weights are loaded, so its few
 * doubles cost nothing.
 */
#include <math.h>

#include "kernels/cuda/cuda.h"

static __global__ void batchnorm_fold(float *weight, float *bias, const float *bn_weight,
                                      const float *mean, const float *var, int window, float eps,
                                      float root_eps)
{
    __shared__ float shared;
    unsigned k = blockIdx.x;
    if (threadIdx.x == 0) {
        double factor = bn_weight[k] / (sqrt((double)var[k] + eps) + root_eps);
        bias[k] = (float)(bias[k] - mean[k] * factor);
        shared = (float)factor;
    }
    __syncthreads();
    float factor = shared, *w = weight + k * (size_t)window;
    for (int i = (int)threadIdx.x; i < window; i += (int)blockDim.x)
        w[i] *= factor;
}

void CUDA(batchnorm_fold)(struct device *d, float *weight, float *bias, const float *bn_weight,
                          const float *mean, const float *var, int k, int window, float eps,
                          float root_eps)
{
    if (k > 0)
        LAUNCH(d, batchnorm_fold, (unsigned)k, CUDA_BLOCK, 0, weight, bias, bn_weight, mean, var,
               window, eps, root_eps);
}
