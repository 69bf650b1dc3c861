/*
 * Batch-norm over the channels, a few of them a job. Ioffe, Szegedy, "Batch normalization", 2015. A
 * channel is n runs of hw elements, c * hw apart.
 */
#include <math.h>

#include "kernels/cpu/act.h"
#include "kernels/cpu/ranges.h"
#include "kernels/cpu/sums.h"

struct batchnorm {
    float *out, *mean, *invstd, *running_mean,
        *running_var; /* out: the result, forward or backward */
    const float *inp, *dout, *weight, *bias;
    const float *in_mean, *in_spread; /* running mean and variance, or saved mean and invstd */
    float *dweight, *dbias;
    int n, c;
    size_t hw;
    float momentum, eps;
    enum act act;
    int add;
};

#define TERM(i) x[i]
SUMS_DEFINE(row_sum, TERM, const float *x)
#undef TERM
#define TERM(i) ((x[i] - mean) * (x[i] - mean))
SUMS_DEFINE(row_squares, TERM, const float *x, float mean)
#undef TERM
#define TERM(i) ((x[i] - mean) * y[i])
SUMS_DEFINE(row_product, TERM, const float *x, float mean, const float *y)
#undef TERM

static inline size_t row_at(const struct batchnorm *s, int b, size_t channel)
{
    return ((size_t)b * (size_t)s->c + channel) * s->hw;
}

/* Mean and biased variance. The second pass leaves no cancellation, its rounded mean is
 * corrected for. */
static void channel_stats(const struct batchnorm *s, size_t k, double *mean, double *var)
{
    double count = (double)s->n * (double)s->hw, sum = 0, squares = 0;
    for (int b = 0; b < s->n; b++)
        sum += row_sum(s->inp + row_at(s, b, k), s->hw);
    *mean = sum / count;
    float near = (float)*mean;
    for (int b = 0; b < s->n; b++)
        squares += row_squares(s->inp + row_at(s, b, k), near, s->hw);
    double off = *mean - near;
    *var = squares / count - off * off;
}

/* out = (inp - mean) * scale + bias, then act. */
static void channel_apply(const struct batchnorm *s, size_t k, float mean, float scale, float bias)
{
    for (int b = 0; b < s->n; b++) {
        const float *x = s->inp + row_at(s, b, k);
        float *y = s->out + row_at(s, b, k);
        ELEMENTWISE
        for (size_t i = 0; i < s->hw; i++)
            y[i] = (x[i] - mean) * scale + bias;
        if (s->act != ACT_NONE)
            CPU(act_row)(y, y, s->hw, s->act);
    }
}

static void train_range(const void *arg, size_t from, size_t to)
{
    const struct batchnorm *s = arg;
    double count = (double)s->n * (double)s->hw, momentum = s->momentum;
    for (size_t k = from; k < to; k++) {
        double mean, var;
        channel_stats(s, k, &mean, &var);
        double invstd = 1 / sqrt(var + s->eps),
               unbiased = count > 1 ? var * count / (count - 1) : var;
        s->mean[k] = (float)mean;
        s->invstd[k] = (float)invstd;
        s->running_mean[k] = (float)((1 - momentum) * s->running_mean[k] + momentum * mean);
        s->running_var[k] = (float)((1 - momentum) * s->running_var[k] + momentum * unbiased);
        channel_apply(s, k, (float)mean, (float)(invstd * s->weight[k]), s->bias[k]);
    }
}

static void eval_range(const void *arg, size_t from, size_t to)
{
    const struct batchnorm *s = arg;
    for (size_t k = from; k < to; k++) {
        double scale = s->weight[k] / sqrt((double)s->in_spread[k] + s->eps);
        channel_apply(s, k, s->in_mean[k], (float)scale, s->bias[k]);
    }
}

/* dinp = factor * (dout - from_bias - (inp - mean) * from_weight). */
static void channel_gradient(const struct batchnorm *s, size_t k, float mean, float factor,
                             float from_bias, float from_weight)
{
    for (int b = 0; b < s->n; b++) {
        size_t at = row_at(s, b, k);
        const float *x = s->inp + at, *dy = s->dout + at;
        float *dx = s->out + at;
        if (s->add) {
            ELEMENTWISE
            for (size_t i = 0; i < s->hw; i++)
                dx[i] += factor * (dy[i] - from_bias - (x[i] - mean) * from_weight);
        } else {
            ELEMENTWISE
            for (size_t i = 0; i < s->hw; i++)
                dx[i] = factor * (dy[i] - from_bias - (x[i] - mean) * from_weight);
        }
    }
}

static void backward_range(const void *arg, size_t from, size_t to)
{
    const struct batchnorm *s = arg;
    double count = (double)s->n * (double)s->hw;
    for (size_t k = from; k < to; k++) {
        float mean = s->in_mean[k];
        double invstd = s->in_spread[k], dbias = 0, product = 0;
        for (int b = 0; b < s->n; b++) {
            size_t at = row_at(s, b, k);
            dbias += row_sum(s->dout + at, s->hw);
            product += row_product(s->inp + at, mean, s->dout + at, s->hw);
        }
        double dweight = product * invstd;
        s->dbias[k] = (float)dbias;
        s->dweight[k] = (float)dweight;
        channel_gradient(s, k, mean, (float)(s->weight[k] * invstd), (float)(dbias / count),
                         (float)(invstd * dweight / count));
    }
}

/* Channels a job: enough that a job is worth a wake-up. */
static void channels_run(struct device *d, const struct batchnorm *s, range_fn *fn)
{
    size_t channel = (size_t)s->n * s->hw;
    ranges_run(d, (size_t)s->c, 1 + RANGE_BLOCK / (channel + 1), fn, s);
}

void CPU(batchnorm_forward_train)(struct device *d, float *out, float *saved_mean,
                                  float *saved_invstd, float *running_mean, float *running_var,
                                  const float *inp, const float *weight, const float *bias, int n,
                                  int c, int hw, float momentum, float eps)
{
    struct batchnorm s = {.out = out,
                          .mean = saved_mean,
                          .invstd = saved_invstd,
                          .running_mean = running_mean,
                          .running_var = running_var,
                          .inp = inp,
                          .weight = weight,
                          .bias = bias,
                          .n = n,
                          .c = c,
                          .hw = (size_t)hw,
                          .momentum = momentum,
                          .eps = eps};
    channels_run(d, &s, train_range);
}

void CPU(batchnorm_forward_eval)(struct device *d, float *out, const float *inp,
                                 const float *weight, const float *bias, const float *running_mean,
                                 const float *running_var, int n, int c, int hw, float eps,
                                 enum act act)
{
    struct batchnorm s = {.out = out,
                          .inp = inp,
                          .weight = weight,
                          .bias = bias,
                          .in_mean = running_mean,
                          .in_spread = running_var,
                          .n = n,
                          .c = c,
                          .hw = (size_t)hw,
                          .eps = eps,
                          .act = act};
    channels_run(d, &s, eval_range);
}

void CPU(batchnorm_backward_data)(struct device *d, float *dinp, float *saved_dweight,
                                  float *saved_dbias, const float *dout, const float *inp,
                                  const float *weight, const float *saved_mean,
                                  const float *saved_invstd, int n, int c, int hw, float eps,
                                  int add)
{
    struct batchnorm s = {.out = dinp,
                          .inp = inp,
                          .dout = dout,
                          .weight = weight,
                          .in_mean = saved_mean,
                          .in_spread = saved_invstd,
                          .dweight = saved_dweight,
                          .dbias = saved_dbias,
                          .n = n,
                          .c = c,
                          .hw = (size_t)hw,
                          .add = add};
    channels_run(d, &s, backward_range);
}
