/*
 * Batch-norm through cuDNN, which defines it as kernels.h does: biased variance for the output,
 * unbiased for the running one, running = (1 - momentum) * running + momentum * batch. A training
 * is one choice, forward and backward, so that what the one saves is read by the other. How cuDNN
 * sums is not told: where a mean is large beside the deviation it may be less exact than ours.
 */
#if __has_include(<cudnn.h>)

#include <stdio.h>

#include "kernels/cuda/cudnn_paths.h"
#include "kernels/cuda/cudnn_plan.h"

static const cudnnBatchNormMode_t mode = CUDNN_BATCHNORM_SPATIAL;

static int describe(struct device *d, struct cudnn_plan *p)
{
    const struct batchnorm_dims *s = &p->dims.norm;
    return cudnn_images(d, &p->inp, s->n, s->c, 1, s->hw) &&
           cudnn_images(d, &p->channels, 1, s->c, 1, 1);
}

static void tell(const struct cudnn_plan *p, const char *what, char text[CUDNN_KEY_BYTES])
{
    const struct batchnorm_dims *s = &p->dims.norm;
    snprintf(text, CUDNN_KEY_BYTES, "batch-norm %s %dx%dx%d, eps %g", what, s->n, s->c, s->hw,
             (double)s->eps);
}

static void tell_train(const struct cudnn_plan *p, char text[CUDNN_KEY_BYTES])
{
    tell(p, "training", text);
}

static void tell_eval(const struct cudnn_plan *p, char text[CUDNN_KEY_BYTES])
{
    tell(p, "evaluation", text);
}

enum { INP, OUT, DINP, CHANNELS };
enum { WEIGHT, BIAS, MEAN, VAR, SAVED_MEAN, SAVED_INVSTD, DWEIGHT, DBIAS, PER_CHANNEL };

static void trial_floats(const struct cudnn_plan *p, size_t count[TRIAL_ARRAYS])
{
    const struct batchnorm_dims *s = &p->dims.norm;
    count[INP] = count[OUT] = count[DINP] = (size_t)s->n * (size_t)s->c * (size_t)s->hw;
    count[CHANNELS] = (size_t)s->c * PER_CHANNEL;
}

static void trial_train(struct device *d, const struct cudnn_plan *p, float *const x[], void *work)
{
    const struct batchnorm_dims *s = &p->dims.norm;
    float *of[PER_CHANNEL];
    for (int i = 0; i < PER_CHANNEL; i++)
        of[i] = x[CHANNELS] + (size_t)i * (size_t)s->c;
    d->kernels->batchnorm_forward_train(d, x[OUT], of[SAVED_MEAN], of[SAVED_INVSTD], of[MEAN],
                                        of[VAR], x[INP], of[WEIGHT], of[BIAS], s->n, s->c, s->hw,
                                        0.1f, s->eps);
    d->kernels->batchnorm_backward_data(d, x[DINP], of[DWEIGHT], of[DBIAS], x[OUT], x[INP],
                                        of[WEIGHT], of[SAVED_MEAN], of[SAVED_INVSTD], s->n, s->c,
                                        s->hw, s->eps, 0);
}

static void trial_eval(struct device *d, const struct cudnn_plan *p, float *const x[], void *work)
{
    const struct batchnorm_dims *s = &p->dims.norm;
    const float *of = x[CHANNELS];
    size_t c = (size_t)s->c;
    d->kernels->batchnorm_forward_eval(d, x[OUT], x[INP], of + WEIGHT * c, of + BIAS * c,
                                       of + MEAN * c, of + VAR * c, s->n, s->c, s->hw, s->eps,
                                       ACT_RELU);
}

static const struct cudnn_code training = {
    GPU_BATCHNORMS, describe, tell_train, trial_floats, NULL, trial_train,
};
static const struct cudnn_code evaluation = {
    GPU_BATCHNORMS, describe, tell_eval, trial_floats, NULL, trial_eval,
};

static union cudnn_dims dims_of(int n, int c, int hw, float eps)
{
    union cudnn_dims dims = {{0}};
    dims.norm = (struct batchnorm_dims){n, c, hw, eps};
    return dims;
}

/* Of one element a channel there is no unbiased variance, and ours says what is taken for it. */
void cudnn_batchnorm_plan(struct device *d, int n, int c, int hw, float eps, int train)
{
    union cudnn_dims dims = dims_of(n, c, hw, eps);
    if (!cuda_of(d)->cudnn || eps < (float)CUDNN_BN_MIN_EPSILON)
        return;
    if (!train)
        cudnn_plan(d, &evaluation, &dims);
    else if ((size_t)n * (size_t)hw > 1)
        cudnn_plan(d, &training, &dims);
}

int cudnn_batchnorm_train(struct device *d, float *out, float *saved_mean, float *saved_invstd,
                          float *running_mean, float *running_var, const float *inp,
                          const float *weight, const float *bias, int n, int c, int hw,
                          float momentum, float eps)
{
    union cudnn_dims dims = dims_of(n, c, hw, eps);
    struct cudnn_plan *p = cudnn_planned(d, &training, &dims);
    float one = 1, zero = 0;
    if (!p)
        return 0;
    MUST(d, cudnnBatchNormalizationForwardTraining, cuda_of(d)->cudnn->handle, mode, &one, &zero,
         p->inp, inp, p->inp, out, p->channels, weight, bias, (double)momentum, running_mean,
         running_var, (double)eps, saved_mean, saved_invstd);
    return 1;
}

int cudnn_batchnorm_eval(struct device *d, float *out, const float *inp, const float *weight,
                         const float *bias, const float *running_mean, const float *running_var,
                         int n, int c, int hw, float eps)
{
    union cudnn_dims dims = dims_of(n, c, hw, eps);
    struct cudnn_plan *p = cudnn_planned(d, &evaluation, &dims);
    float one = 1, zero = 0;
    if (!p)
        return 0;
    MUST(d, cudnnBatchNormalizationForwardInference, cuda_of(d)->cudnn->handle, mode, &one, &zero,
         p->inp, inp, p->inp, out, p->channels, weight, bias, running_mean, running_var,
         (double)eps);
    return 1;
}

int cudnn_batchnorm_backward(struct device *d, float *dinp, float *saved_dweight,
                             float *saved_dbias, const float *dout, const float *inp,
                             const float *weight, const float *saved_mean,
                             const float *saved_invstd, int n, int c, int hw, float eps, int add)
{
    union cudnn_dims dims = dims_of(n, c, hw, eps);
    struct cudnn_plan *p = cudnn_planned(d, &training, &dims);
    float one = 1, zero = 0, beta = add ? 1 : 0;
    if (!p)
        return 0;
    MUST(d, cudnnBatchNormalizationBackward, cuda_of(d)->cudnn->handle, mode, &one, &beta, &one,
         &zero, p->inp, inp, p->inp, dout, p->inp, dinp, p->channels, weight, saved_dweight,
         saved_dbias, (double)eps, saved_mean, saved_invstd);
    return 1;
}

#endif
