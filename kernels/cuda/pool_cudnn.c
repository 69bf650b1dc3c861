/*
 * Pools through cuDNN, where it means the same: maxima of an evaluation, and averages whose bins
 * are all alike. Not maxima of a training, which keep where they were: cuDNN has no such output,
 * and its backward, which looks for the maximum again, does not say which of equal ones gets the
 * gradient (ours the first; behind a ReLU many are 0), and wants the layer's input and output,
 * which a pass does not keep. Nor windows that reach further behind the image than before it.
 */
#if __has_include(<cudnn.h>)

#include <stdio.h>

#include "kernels/cuda/cudnn_paths.h"
#include "kernels/cuda/cudnn_plan.h"

static int describe(struct device *d, struct cudnn_plan *p, cudnnPoolingMode_t mode)
{
    const struct pool_dims *s = &p->dims.pool;
    return cudnn_images(d, &p->inp, s->n, s->c, s->h, s->w) &&
           cudnn_images(d, &p->out, s->n, s->c, s->oh, s->ow) &&
           TRIED(d, cudnnCreatePoolingDescriptor, &p->pool) &&
           TRIED(d, cudnnSetPooling2dDescriptor, p->pool, mode, CUDNN_PROPAGATE_NAN, s->kh, s->kw,
                 s->ph, s->pw, s->sh, s->sw);
}

static int describe_max(struct device *d, struct cudnn_plan *p)
{
    return describe(d, p, CUDNN_POOLING_MAX_DETERMINISTIC);
}

static int describe_average(struct device *d, struct cudnn_plan *p)
{
    return describe(d, p, CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING);
}

static void tell(const struct pool_dims *s, const char *what, char text[CUDNN_KEY_BYTES])
{
    snprintf(text, CUDNN_KEY_BYTES, "%s %dx%dx%dx%d to %dx%d, window %dx%d stride %dx%d pad %dx%d",
             what, s->n, s->c, s->h, s->w, s->oh, s->ow, s->kh, s->kw, s->sh, s->sw, s->ph, s->pw);
}

static void tell_max(const struct cudnn_plan *p, char text[CUDNN_KEY_BYTES])
{
    tell(&p->dims.pool, "max-pool forward", text);
}

static void tell_average(const struct cudnn_plan *p, char text[CUDNN_KEY_BYTES])
{
    tell(&p->dims.pool, "average pool forward", text);
}

static void tell_average_backward(const struct cudnn_plan *p, char text[CUDNN_KEY_BYTES])
{
    tell(&p->dims.pool, "average pool backward", text);
}

enum { INP, OUT };

static void trial_floats(const struct cudnn_plan *p, size_t count[TRIAL_ARRAYS])
{
    const struct pool_dims *s = &p->dims.pool;
    size_t images = (size_t)s->n * (size_t)s->c;
    count[INP] = images * (size_t)(s->h * s->w);
    count[OUT] = images * (size_t)(s->oh * s->ow);
}

static void trial_max(struct device *d, const struct cudnn_plan *p, float *const x[], void *work)
{
    d->kernels->maxpool_forward(d, x[OUT], NULL, x[INP], &p->dims.pool);
}

static void trial_average(struct device *d, const struct cudnn_plan *p, float *const x[],
                          void *work)
{
    const struct pool_dims *s = &p->dims.pool;
    d->kernels->avgpool_forward(d, x[OUT], x[INP], s->n, s->c, s->h, s->w, s->oh, s->ow);
}

static void trial_average_backward(struct device *d, const struct cudnn_plan *p, float *const x[],
                                   void *work)
{
    const struct pool_dims *s = &p->dims.pool;
    d->kernels->avgpool_backward(d, x[INP], x[OUT], s->n, s->c, s->h, s->w, s->oh, s->ow, 0);
}

static const struct cudnn_code max_forward = {
    GPU_POOLS, describe_max, tell_max, trial_floats, NULL, trial_max,
};
static const struct cudnn_code average_forward = {
    GPU_POOLS, describe_average, tell_average, trial_floats, NULL, trial_average,
};
static const struct cudnn_code average_backward = {
    GPU_POOLS, describe_average, tell_average_backward, trial_floats, NULL, trial_average_backward,
};

/* Its rows and columns of padding are as many behind the image as before it. */
static int fits(int size, int window, int stride, int pad, int out)
{
    return pad < window && size + 2 * pad >= window &&
           (size + 2 * pad - window) / stride + 1 == out;
}

void cudnn_maxpool_plan(struct device *d, const struct pool_dims *s, int train)
{
    union cudnn_dims dims = {{0}};
    dims.pool = *s;
    if (cuda_of(d)->cudnn && !train && fits(s->h, s->kh, s->sh, s->ph, s->oh) &&
        fits(s->w, s->kw, s->sw, s->pw, s->ow))
        cudnn_plan(d, &max_forward, &dims);
}

/* 0: it is not through cuDNN. */
static int pool_forward(struct device *d, struct cudnn_plan *p, float *out, const float *inp)
{
    float one = 1, zero = 0;
    if (!p)
        return 0;
    MUST(d, cudnnPoolingForward, cuda_of(d)->cudnn->handle, p->pool, &one, p->inp, inp, &zero,
         p->out, out);
    return 1;
}

int cudnn_maxpool_forward(struct device *d, float *out, const uint8_t *arg, const float *inp,
                          const struct pool_dims *s)
{
    union cudnn_dims dims = {{0}};
    dims.pool = *s;
    struct cudnn_plan *p = arg ? NULL : cudnn_planned(d, &max_forward, &dims);
    return pool_forward(d, p, out, inp);
}

/* Bins that are all alike are windows that touch. 0: they are not. */
static int average_dims(union cudnn_dims *dims, int n, int c, int h, int w, int oh, int ow)
{
    *dims = (union cudnn_dims){{0}};
    if (h % oh != 0 || w % ow != 0)
        return 0;
    dims->pool = (struct pool_dims){n, c, h, w, h / oh, w / ow, h / oh, w / ow, 0, 0, oh, ow};
    return 1;
}

void cudnn_avgpool_plan(struct device *d, int n, int c, int h, int w, int oh, int ow, int train)
{
    union cudnn_dims dims;
    if (!cuda_of(d)->cudnn || !average_dims(&dims, n, c, h, w, oh, ow))
        return;
    cudnn_plan(d, &average_forward, &dims);
    if (train)
        cudnn_plan(d, &average_backward, &dims);
}

int cudnn_avgpool_forward(struct device *d, float *out, const float *inp, int n, int c, int h,
                          int w, int oh, int ow)
{
    union cudnn_dims dims;
    struct cudnn_plan *p =
        average_dims(&dims, n, c, h, w, oh, ow) ? cudnn_planned(d, &average_forward, &dims) : NULL;
    return pool_forward(d, p, out, inp);
}

/* The gradient of an average depends on neither its input nor its output, which the call wants all
 * the same: arrays of their shapes stand there. */
int cudnn_avgpool_backward(struct device *d, float *dinp, const float *dout, int n, int c, int h,
                           int w, int oh, int ow, int add)
{
    union cudnn_dims dims;
    struct cudnn_plan *p =
        average_dims(&dims, n, c, h, w, oh, ow) ? cudnn_planned(d, &average_backward, &dims) : NULL;
    float one = 1, beta = add ? 1 : 0;
    if (!p)
        return 0;
    MUST(d, cudnnPoolingBackward, cuda_of(d)->cudnn->handle, p->pool, &one, p->out, dout, p->out,
         dout, p->inp, dinp, &beta, p->inp, dinp);
    return 1;
}

#endif
