/*
 * The transposed convolution is the backward pass of a convolution from its output to its input:
 * forward is that one's backward data, backward data its forward, and the weight gradients its own
 * with the two images swapped. The weight (c, k, kh, kw) is already that convolution's (k, c, kh,
 * kw).
 */
#include "kernels/cpu/conv2d.h"

void CPU(conv_transpose2d_forward)(struct device *d, float *out, const float *inp,
                                   const float *weight, const float *bias,
                                   const struct conv2d_dims *s, enum act act, void *work)
{
    struct conv2d_dims t = conv2d_swapped(s);
    CPU(conv2d_apply_transposed)(d, out, inp, weight, bias, &t, act, 0, work);
}

void CPU(conv_transpose2d_backward_data)(struct device *d, float *dinp, const float *dout,
                                         const float *weight, const struct conv2d_dims *s, int add,
                                         void *work)
{
    struct conv2d_dims t = conv2d_swapped(s);
    CPU(conv2d_apply)(d, dinp, dout, weight, NULL, &t, ACT_NONE, add, work);
}

void CPU(conv_transpose2d_backward_weights)(struct device *d, float *dweight, float *dbias,
                                            const float *dout, const float *inp,
                                            const struct conv2d_dims *s, float scale, void *work)
{
    struct conv2d_dims t = conv2d_swapped(s);
    CPU(conv2d_backward_weights)(d, dweight, NULL, inp, dout, &t, scale, work);
    if (dbias)
        CPU(conv2d_bias)(d, dbias, dout, s->n, s->k, s->oh * s->ow, scale);
}

size_t CPU(conv_transpose2d_work)(struct device *d, const struct conv2d_dims *s, int backward)
{
    struct conv2d_dims t = conv2d_swapped(s);
    return CPU(conv2d_work)(d, &t, 1);
}
