/* Softmax and cross-entropy: a few samples of some ten to a thousand classes; a block of samples
 * is a job. */
#include <math.h>

#include "kernels/cpu/exp.h"
#include "kernels/cpu/ranges.h"

struct softmax_args {
    float *loss, *dlogits;
    const float *logits;
    const int32_t *labels;
    int classes;
    float scale;
};

enum { SUMS = 16 }; /* running side by side, so that the loops vectorise with a fixed order */

static float row_max(const float *x, int n)
{
    float max[SUMS];
    for (int k = 0; k < SUMS; k++)
        max[k] = x[0];
    int i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (int k = 0; k < SUMS; k++)
            max[k] = x[i + k] < max[k] ? max[k] : x[i + k];
    for (; i < n; i++)
        max[0] = x[i] < max[0] ? max[0] : x[i];
    for (int k = 1; k < SUMS; k++)
        max[0] = max[k] < max[0] ? max[0] : max[k];
    return max[0];
}

/* The sum of e^(x - max); the terms into out (n) where it is not NULL. */
static double row_exp(float *out, const float *x, int n, float max)
{
    float sum[SUMS] = {0};
    double total = 0;
    int i = 0;
    for (; i + SUMS <= n; i += SUMS) {
        float e[SUMS];
        for (int k = 0; k < SUMS; k++) {
            e[k] = exp_poly(x[i + k] - max);
            sum[k] += e[k];
        }
        if (out)
            memcpy(out + i, e, sizeof(e));
    }
    for (; i < n; i++) {
        float e = exp_poly(x[i] - max);
        total += e;
        if (out)
            out[i] = e;
    }
    for (int k = 0; k < SUMS; k++)
        total += sum[k];
    return total;
}

static void softmax_range(const void *arg, size_t from, size_t to)
{
    const struct softmax_args *a = arg;
    for (size_t b = from; b < to; b++) {
        const float *x = a->logits + b * (size_t)a->classes;
        float *dx = a->dlogits ? a->dlogits + b * (size_t)a->classes : NULL;
        int32_t label = a->labels[b];
        float max = row_max(x, a->classes), logit = x[label];
        double sum = row_exp(dx, x, a->classes, max);
        a->loss[b] = (float)(log(sum) - ((double)logit - max));
        if (!dx)
            continue;
        float factor = (float)(a->scale / sum);
        for (int i = 0; i < a->classes; i++)
            dx[i] *= factor;
        dx[label] = (float)(a->scale * (exp((double)logit - max) / sum - 1));
    }
}

void CPU(softmax_xent)(struct device *d, float *loss, float *dlogits, const float *logits,
                       const int32_t *labels, int n, int classes, float scale)
{
    struct softmax_args a = {loss, dlogits, logits, labels, classes, scale};
    size_t per_block = 1 + 8192 / (size_t)classes;
    ranges_run(d, (size_t)n, per_block, softmax_range, &a);
}
