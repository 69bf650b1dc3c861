/* Softmax and cross-entropy in one: the largest logit is taken off first, so nothing overflows. */
#include <math.h>

#include "kernels/ref/ref.h"

void ref_softmax_xent(struct device *d, float *loss, float *dlogits, const float *logits,
                      const int32_t *labels, int n, int classes, float scale)
{
    for (int b = 0; b < n; b++) {
        const float *x = logits + (size_t)b * classes;
        double max = x[0], sum = 0;
        for (int k = 1; k < classes; k++)
            max = x[k] > max || isnan(x[k]) ? x[k] : max;
        for (int k = 0; k < classes; k++)
            sum += exp(x[k] - max);
        loss[b] = (float)(log(sum) - (x[labels[b]] - max));
        if (!dlogits)
            continue;
        for (int k = 0; k < classes; k++)
            dlogits[(size_t)b * classes + k] =
                (float)(scale * (exp(x[k] - max) / sum - (k == labels[b])));
    }
}
