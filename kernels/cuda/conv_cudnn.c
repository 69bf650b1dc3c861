/* Convolutions through cuDNN: its algorithms, chosen by its own heuristics, and their calls. */
#if __has_include(<cudnn.h>)

#include <stdio.h>

#include "kernels/cuda/conv2d.h"
#include "kernels/cuda/cudnn_paths.h"
#include "kernels/cuda/cudnn_plan.h"

enum {
    ALGORITHMS = 16,         /* more than any direction has */
    SCRATCH_MOST = 512 << 20 /* bytes; algorithms that want more are passed over */
};

/* The first of what cuDNN thinks fastest that gives the same bits each time, without tensor cores
 * and in little enough scratch; -1: none. */
#define FIRST_FIT(found, count, fit)                                              \
    do {                                                                          \
        for ((fit) = 0; (fit) < (count); (fit)++)                                 \
            if ((found)[fit].status == CUDNN_STATUS_SUCCESS &&                    \
                (found)[fit].determinism == CUDNN_DETERMINISTIC &&                \
                (found)[fit].mathType != CUDNN_TENSOR_OP_MATH &&                  \
                (found)[fit].mathType != CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION && \
                (found)[fit].memory <= SCRATCH_MOST)                              \
                break;                                                            \
        if ((fit) == (count))                                                     \
            (fit) = -1;                                                           \
    } while (0)

static int describe(struct device *d, struct cudnn_plan *p)
{
    const struct conv2d_dims *s = &p->dims.conv;
    return cudnn_images(d, &p->inp, s->n, s->c, s->h, s->w) &&
           cudnn_images(d, &p->out, s->n, s->k, s->oh, s->ow) &&
           TRIED(d, cudnnCreateFilterDescriptor, &p->weight) &&
           TRIED(d, cudnnCreateConvolutionDescriptor, &p->conv) &&
           TRIED(d, cudnnSetFilter4dDescriptor, p->weight, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW,
                 s->k, s->c, s->kh, s->kw) &&
           TRIED(d, cudnnSetConvolution2dDescriptor, p->conv, s->ph, s->pw, s->sh, s->sw, 1, 1,
                 CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT) &&
           TRIED(d, cudnnSetConvolutionMathType, p->conv, CUDNN_FMA_MATH);
}

static int none_fits(struct device *d, const char *what)
{
    return cudnn_tried(d, CUDNN_STATUS_NOT_SUPPORTED, what);
}

static int describe_forward(struct device *d, struct cudnn_plan *p)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    cudnnConvolutionFwdAlgoPerf_t found[ALGORITHMS];
    int count = 0, fit;
    if (!describe(d, p) || !TRIED(d, cudnnGetConvolutionForwardAlgorithm_v7, c->handle, p->inp,
                                  p->weight, p->conv, p->out, ALGORITHMS, &count, found))
        return 0;
    FIRST_FIT(found, count, fit);
    if (fit < 0)
        return none_fits(d, "a deterministic forward convolution");
    p->algorithm = (int)found[fit].algo;
    return TRIED(d, cudnnGetConvolutionForwardWorkspaceSize, c->handle, p->inp, p->weight, p->conv,
                 p->out, found[fit].algo, &p->bytes);
}

static int describe_backward_data(struct device *d, struct cudnn_plan *p)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    cudnnConvolutionBwdDataAlgoPerf_t found[ALGORITHMS];
    int count = 0, fit;
    if (!describe(d, p) || !TRIED(d, cudnnGetConvolutionBackwardDataAlgorithm_v7, c->handle,
                                  p->weight, p->out, p->conv, p->inp, ALGORITHMS, &count, found))
        return 0;
    FIRST_FIT(found, count, fit);
    if (fit < 0)
        return none_fits(d, "a deterministic gradient of an input");
    p->algorithm = (int)found[fit].algo;
    return TRIED(d, cudnnGetConvolutionBackwardDataWorkspaceSize, c->handle, p->weight, p->out,
                 p->conv, p->inp, found[fit].algo, &p->bytes);
}

static int describe_backward_weights(struct device *d, struct cudnn_plan *p)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    cudnnConvolutionBwdFilterAlgoPerf_t found[ALGORITHMS];
    int count = 0, fit;
    if (!describe(d, p) || !TRIED(d, cudnnGetConvolutionBackwardFilterAlgorithm_v7, c->handle,
                                  p->inp, p->out, p->conv, p->weight, ALGORITHMS, &count, found))
        return 0;
    FIRST_FIT(found, count, fit);
    if (fit < 0)
        return none_fits(d, "a deterministic gradient of weights");
    p->algorithm = (int)found[fit].algo;
    return TRIED(d, cudnnGetConvolutionBackwardFilterWorkspaceSize, c->handle, p->inp, p->out,
                 p->conv, p->weight, found[fit].algo, &p->bytes);
}

static void tell(const struct conv2d_dims *s, const char *direction, char text[CUDNN_KEY_BYTES])
{
    snprintf(text, CUDNN_KEY_BYTES,
             "convolution %s %dx%dx%dx%d to %dx%dx%d, kernel %dx%d stride %dx%d pad %dx%d",
             direction, s->n, s->c, s->h, s->w, s->k, s->oh, s->ow, s->kh, s->kw, s->sh, s->sw,
             s->ph, s->pw);
}

static void tell_forward(const struct cudnn_plan *p, char text[CUDNN_KEY_BYTES])
{
    tell(&p->dims.conv, "forward", text);
}

static void tell_backward_data(const struct cudnn_plan *p, char text[CUDNN_KEY_BYTES])
{
    tell(&p->dims.conv, "backward data", text);
}

static void tell_backward_weights(const struct cudnn_plan *p, char text[CUDNN_KEY_BYTES])
{
    tell(&p->dims.conv, "backward weights", text);
}

enum { INP, OUT, WEIGHT, BIAS };

static void trial_floats(const struct cudnn_plan *p, size_t count[TRIAL_ARRAYS])
{
    const struct conv2d_dims *s = &p->dims.conv;
    count[INP] = (size_t)s->n * (size_t)s->c * (size_t)s->h * (size_t)s->w;
    count[OUT] = (size_t)s->n * (size_t)s->k * (size_t)s->oh * (size_t)s->ow;
    count[WEIGHT] = (size_t)s->k * (size_t)s->c * (size_t)(s->kh * s->kw);
    count[BIAS] = (size_t)s->k;
}

static size_t trial_forward_work(struct device *d, const struct cudnn_plan *p)
{
    return conv_forward_work(d, &p->dims.conv);
}

static size_t trial_backward_data_work(struct device *d, const struct cudnn_plan *p)
{
    return conv_backward_data_work(d, &p->dims.conv);
}

static size_t trial_backward_weights_work(struct device *d, const struct cudnn_plan *p)
{
    return conv_backward_weights_work(d, &p->dims.conv);
}

/* With a bias and an activation, as models have them: cuDNN's result wants another kernel then. */
static void trial_forward(struct device *d, const struct cudnn_plan *p, float *const x[],
                          void *work)
{
    conv_forward(d, x[OUT], x[INP], x[WEIGHT], x[BIAS], &p->dims.conv, 0, ACT_RELU, GRADIENT_NONE,
                 work);
}

static void trial_backward_data(struct device *d, const struct cudnn_plan *p, float *const x[],
                                void *work)
{
    conv_backward_data(d, x[INP], x[OUT], x[WEIGHT], NULL, &p->dims.conv, 0, ACT_NONE, GRADIENT_B,
                       work);
}

static void trial_backward_weights(struct device *d, const struct cudnn_plan *p, float *const x[],
                                   void *work)
{
    conv_backward_weights(d, x[WEIGHT], x[OUT], x[INP], &p->dims.conv, -1e-3f, GRADIENT_A, work);
}

static const struct cudnn_code forward = {
    GPU_CONVOLUTIONS, describe_forward,   tell_forward,
    trial_floats,     trial_forward_work, trial_forward,
};
static const struct cudnn_code backward_data = {
    GPU_CONVOLUTIONS, describe_backward_data,   tell_backward_data,
    trial_floats,     trial_backward_data_work, trial_backward_data,
};
static const struct cudnn_code backward_weights = {
    GPU_CONVOLUTIONS, describe_backward_weights,   tell_backward_weights,
    trial_floats,     trial_backward_weights_work, trial_backward_weights,
};

static struct cudnn_plan *planned(struct device *d, const struct cudnn_code *code,
                                  const struct conv2d_dims *s)
{
    union cudnn_dims dims = {{0}};
    dims.conv = *s;
    return cudnn_planned(d, code, &dims);
}

static size_t work_of(struct device *d, const struct cudnn_code *code, const struct conv2d_dims *s)
{
    union cudnn_dims dims = {{0}};
    dims.conv = *s;
    struct cudnn_plan *p = cuda_of(d)->cudnn ? cudnn_plan(d, code, &dims) : NULL;
    return p ? p->bytes : 0;
}

size_t cudnn_conv_forward_work(struct device *d, const struct conv2d_dims *s)
{
    return work_of(d, &forward, s);
}

size_t cudnn_conv_backward_data_work(struct device *d, const struct conv2d_dims *s)
{
    return work_of(d, &backward_data, s);
}

size_t cudnn_conv_backward_weights_work(struct device *d, const struct conv2d_dims *s)
{
    return work_of(d, &backward_weights, s);
}

int cudnn_conv_forward(struct device *d, float *out, const float *inp, const float *weight,
                       const struct conv2d_dims *s, int add, void *work)
{
    struct cudnn_plan *p = planned(d, &forward, s);
    float one = 1, beta = add ? 1 : 0;
    if (!p)
        return 0;
    MUST(d, cudnnConvolutionForward, cuda_of(d)->cudnn->handle, &one, p->inp, inp, p->weight,
         weight, p->conv, (cudnnConvolutionFwdAlgo_t)p->algorithm, work, p->bytes, &beta, p->out,
         out);
    return 1;
}

int cudnn_conv_backward_data(struct device *d, float *dinp, const float *dout, const float *weight,
                             const struct conv2d_dims *s, int add, void *work)
{
    struct cudnn_plan *p = planned(d, &backward_data, s);
    float one = 1, beta = add ? 1 : 0;
    if (!p)
        return 0;
    MUST(d, cudnnConvolutionBackwardData, cuda_of(d)->cudnn->handle, &one, p->weight, weight,
         p->out, dout, p->conv, (cudnnConvolutionBwdDataAlgo_t)p->algorithm, work, p->bytes, &beta,
         p->inp, dinp);
    return 1;
}

int cudnn_conv_backward_weights(struct device *d, float *dweight, const float *dout,
                                const float *inp, const struct conv2d_dims *s, float scale,
                                void *work)
{
    struct cudnn_plan *p = planned(d, &backward_weights, s);
    float one = 1;
    if (!p)
        return 0;
    MUST(d, cudnnConvolutionBackwardFilter, cuda_of(d)->cudnn->handle, &scale, p->inp, inp, p->out,
         dout, p->conv, (cudnnConvolutionBwdFilterAlgo_t)p->algorithm, work, p->bytes, &one,
         p->weight, dweight);
    return 1;
}

#endif
