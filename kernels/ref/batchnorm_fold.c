/* Batch-norm's running statistics, scale and shift as a convolution's weights and bias. */
#include <math.h>

#include "kernels/ref/ref.h"

void ref_batchnorm_fold(struct device *d, float *weight, float *bias, const float *bn_weight,
                        const float *mean, const float *var, int k, int window, float eps,
                        float root_eps)
{
    for (int i = 0; i < k; i++) {
        double factor = bn_weight[i] / (sqrt((double)var[i] + eps) + root_eps);
        for (size_t j = 0; j < (size_t)window; j++) {
            float *w = &weight[(size_t)i * window + j];
            *w = (float)(*w * factor);
        }
        bias[i] = (float)(bias[i] - mean[i] * factor);
    }
}
