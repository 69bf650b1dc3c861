/* Batch-norm's running statistics, scale and shift as a convolution's weights and bias: a few of
 * its outputs a job. */
#include <math.h>

#include "kernels/cpu/ranges.h"

struct fold {
    float *weight, *bias;
    const float *bn_weight, *mean, *var;
    size_t window;
    float eps, root_eps;
};

static void fold_range(const void *arg, size_t from, size_t to)
{
    const struct fold *f = arg;
    for (size_t k = from; k < to; k++) {
        double factor = f->bn_weight[k] / (sqrt((double)f->var[k] + f->eps) + f->root_eps);
        float *w = f->weight + k * f->window, by = (float)factor;
        ELEMENTWISE
        for (size_t i = 0; i < f->window; i++)
            w[i] *= by;
        f->bias[k] = (float)(f->bias[k] - f->mean[k] * factor);
    }
}

void CPU(batchnorm_fold)(struct device *d, float *weight, float *bias, const float *bn_weight,
                         const float *mean, const float *var, int k, int window, float eps,
                         float root_eps)
{
    struct fold f = {weight, bias, bn_weight, mean, var, (size_t)window, eps, root_eps};
    ranges_run(d, (size_t)k, 1 + RANGE_BLOCK / (size_t)window, fold_range, &f);
}
