/*
 * Transposed 2-D convolution (the gradient of a convolution run forward), square kernel, with bias,
 * and an activation in its epilogue where the model asks for it. Parameters: weight (c, k, kh, kw)
 * as PyTorch stores it, bias (k).
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/err.h"
#include "layers/conv2d.h"

struct conv_transpose2d {
    struct layer layer; /* first */
    int in_channels, out_channels, kernel, stride, pad;
};

static const struct conv_transpose2d *conv_of(const struct layer *l)
{
    return (const struct conv_transpose2d *)l;
}

static struct conv2d_dims dims_of(const struct conv_transpose2d *c, const struct tensor *in)
{
    struct conv2d_dims s = conv2d_dims_of(in, c->out_channels, c->kernel, c->stride, c->pad);
    s.oh = (s.h - 1) * s.sh - 2 * s.ph + s.kh;
    s.ow = (s.w - 1) * s.sw - 2 * s.pw + s.kw;
    return s;
}

static int conv_transpose2d_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                                 struct layer_plan *plan)
{
    const struct conv_transpose2d *c = conv_of(l);
    int ret = layer_want_images(l, &in[0], c->in_channels);
    if (ret < 0)
        return ret;
    struct conv2d_dims s = dims_of(c, &in[0]);
    if (s.oh < 1 || s.ow < 1)
        return err_set(EINVAL,
                       "layer %d (conv_transpose2d): nothing is left of its %dx%d input with a "
                       "%dx%d kernel and padding %d; give the model larger pictures",
                       l->number, s.h, s.w, s.kh, s.kw, s.ph);
    plan->out = tensor_f32(4, (int[]){s.n, s.k, s.oh, s.ow});
    double per_in = 2.0 * s.k * s.kh * s.kw;
    plan->flops = (double)tensor_count(&in[0]) * per_in;
    plan->reads_in = true;
    return 0;
}

static size_t conv_transpose2d_work_bytes(const struct layer *l, struct device *d,
                                          const struct tensor in[], enum run_mode run)
{
    struct conv2d_dims s = dims_of(conv_of(l), &in[0]);
    return d->kernels->conv_transpose2d_work(d, &s, run == RUN_TRAIN);
}

static const char *conv_transpose2d_missing(const struct layer *l, const struct kernels *k,
                                            enum run_mode run)
{
    if (!k->conv_transpose2d_forward || !k->conv_transpose2d_work)
        return "conv_transpose2d_forward";
    if (run == RUN_TRAIN && !k->conv_transpose2d_backward_data)
        return "conv_transpose2d_backward_data";
    if (run == RUN_TRAIN && !k->conv_transpose2d_backward_weights)
        return "conv_transpose2d_backward_weights";
    return NULL;
}

/* As nn.ConvTranspose2d: U(-b, b), b = 1 / sqrt(fan_in), where PyTorch takes fan_in from the
 * weight's second dimension, which here holds the output channels. */
static void conv_transpose2d_init(const struct layer *l, struct device *d, uint64_t seed)
{
    const struct conv_transpose2d *c = conv_of(l);
    float bound = 1.0f / sqrtf((float)(c->out_channels * c->kernel * c->kernel));
    for (int i = 0; i < l->nparam; i++) {
        struct rng key = layer_weights_key(l, seed, i);
        const struct tensor *t = &l->param[i].value;
        d->kernels->fill_uniform(d, tensor_floats(t), tensor_count(t), &key, -bound, bound);
    }
}

static void conv_transpose2d_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    struct conv2d_dims s = dims_of(conv_of(l), io->in[0]);
    d->kernels->conv_transpose2d_forward(d, tensor_floats(io->out), tensor_floats(io->in[0]),
                                         tensor_floats(&l->param[0].value),
                                         tensor_floats(&l->param[1].value), &s, io->act, io->work);
}

static void conv_transpose2d_backward_data(const struct layer *l, struct device *d,
                                           struct layer_io *io)
{
    if (io->mode[0] == GRAD_NONE)
        return;
    struct conv2d_dims s = dims_of(conv_of(l), io->in[0]);
    d->kernels->conv_transpose2d_backward_data(
        d, tensor_floats(io->din[0]), tensor_floats(io->dout), tensor_floats(&l->param[0].value),
        &s, io->mode[0] == GRAD_ADD, io->work);
}

static void conv_transpose2d_backward_weights(const struct layer *l, struct device *d,
                                              struct layer_io *io, float scale)
{
    struct conv2d_dims s = dims_of(conv_of(l), io->in[0]);
    d->kernels->conv_transpose2d_backward_weights(d, l->param[0].grad, l->param[1].grad,
                                                  tensor_floats(io->dout), tensor_floats(io->in[0]),
                                                  &s, scale, io->work);
}

static bool conv_transpose2d_fuses_act(const struct layer *l, enum run_mode run)
{
    return true;
}

static char *conv_transpose2d_describe(const struct layer *l, char *text, size_t text_bytes)
{
    const struct conv_transpose2d *c = conv_of(l);
    snprintf(text, text_bytes, "%d -> %d, %dx%d, stride %d, pad %d", c->in_channels,
             c->out_channels, c->kernel, c->kernel, c->stride, c->pad);
    return text;
}

static const struct layer_ops conv_transpose2d_ops = {
    .name = "conv_transpose2d",
    .plan = conv_transpose2d_plan,
    .work_bytes = conv_transpose2d_work_bytes,
    .missing = conv_transpose2d_missing,
    .init = conv_transpose2d_init,
    .forward = conv_transpose2d_forward,
    .backward_data = conv_transpose2d_backward_data,
    .backward_weights = conv_transpose2d_backward_weights,
    .fuses_act = conv_transpose2d_fuses_act,
    .describe = conv_transpose2d_describe,
};

struct layer *conv_transpose2d_new(int in_channels, int out_channels, int kernel, int stride,
                                   int pad)
{
    struct conv_transpose2d *c = layer_alloc(&conv_transpose2d_ops, sizeof(*c));
    if (!c)
        return NULL;
    c->in_channels = in_channels;
    c->out_channels = out_channels;
    c->kernel = kernel;
    c->stride = stride;
    c->pad = pad;
    layer_add_param(&c->layer, "weight", 4, (int[]){in_channels, out_channels, kernel, kernel});
    layer_add_param(&c->layer, "bias", 1, (int[]){out_channels});
    return &c->layer;
}
