/* Transposed convolutions: convolutions whose directions are changed, so that out is in. */
#include "kernels/cuda/conv2d.h"
#include "kernels/cuda/gemm.h"

/* The convolution from our output (n, k, oh, ow) to our input (n, c, h, w). */
static struct conv2d_dims turned(const struct conv2d_dims *s)
{
    struct conv2d_dims t = {s->n,  s->k,  s->oh, s->ow, s->c, s->kh, s->kw,
                            s->sh, s->sw, s->ph, s->pw, s->h, s->w};
    return t;
}

void CUDA(conv_transpose2d_forward)(struct device *d, float *out, const float *inp,
                                    const float *weight, const float *bias,
                                    const struct conv2d_dims *s, enum act act, void *work)
{
    struct conv2d_dims t = turned(s);
    conv_backward_data(d, out, inp, weight, bias, &t, 0, act, GRADIENT_NONE, work);
}

void CUDA(conv_transpose2d_backward_data)(struct device *d, float *dinp, const float *dout,
                                          const float *weight, const struct conv2d_dims *s, int add,
                                          void *work)
{
    struct conv2d_dims t = turned(s);
    conv_forward(d, dinp, dout, weight, NULL, &t, add, ACT_NONE, GRADIENT_B, work);
}

void CUDA(conv_transpose2d_backward_weights)(struct device *d, float *dweight, float *dbias,
                                             const float *dout, const float *inp,
                                             const struct conv2d_dims *s, float scale, void *work)
{
    struct conv2d_dims t = turned(s);
    if (dbias)
        gemm_add_row_sums(d, dbias, dout, s->n, s->k, s->oh * s->ow, scale);
    conv_backward_weights(d, dweight, inp, dout, &t, scale, GRADIENT_B, work);
}

size_t CUDA(conv_transpose2d_work)(struct device *d, const struct conv2d_dims *s, int backward)
{
    struct conv2d_dims t = turned(s);
    size_t bytes = conv_backward_data_work(d, &t);
    if (!backward)
        return bytes;
    return gemm_max(bytes, gemm_max(conv_forward_work(d, &t), conv_backward_weights_work(d, &t)));
}
