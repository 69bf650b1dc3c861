/*
 * 2-D convolution, square kernel, with or without bias, and an activation in its epilogue where the
 * model asks for it. Parameters: weight (k, c, kh, kw), bias (k).
 */
#include "layers/conv2d.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/err.h"

struct conv2d {
    struct layer layer; /* first */
    int in_channels, out_channels, kernel, stride, pad;
    bool bias;
    enum weight_init init;
};

static const struct conv2d *conv2d_of(const struct layer *l)
{
    return (const struct conv2d *)l;
}

struct conv2d_dims conv2d_dims_of(const struct tensor *in, int out_channels, int kernel, int stride,
                                  int pad)
{
    return (struct conv2d_dims){
        .n = in->dim[0],
        .c = in->dim[1],
        .h = in->dim[2],
        .w = in->dim[3],
        .k = out_channels,
        .kh = kernel,
        .kw = kernel,
        .sh = stride,
        .sw = stride,
        .ph = pad,
        .pw = pad,
        .oh = (in->dim[2] + 2 * pad - kernel) / stride + 1,
        .ow = (in->dim[3] + 2 * pad - kernel) / stride + 1,
    };
}

int conv2d_want_room(const struct layer *l, const struct tensor *in, int kernel, int pad)
{
    if (in->dim[2] + 2 * pad >= kernel && in->dim[3] + 2 * pad >= kernel)
        return 0;
    return err_set(EINVAL,
                   "layer %d (%s): its %dx%d kernel is larger than its %dx%d input padded by %d; "
                   "give the model larger pictures",
                   l->number, l->ops->name, kernel, kernel, in->dim[2], in->dim[3], pad);
}

static struct conv2d_dims dims_of(const struct conv2d *c, const struct tensor *in)
{
    return conv2d_dims_of(in, c->out_channels, c->kernel, c->stride, c->pad);
}

static int conv2d_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                       struct layer_plan *plan)
{
    const struct conv2d *c = conv2d_of(l);
    int ret = layer_want_images(l, &in[0], c->in_channels);
    if (ret < 0)
        return ret;
    ret = conv2d_want_room(l, &in[0], c->kernel, c->pad);
    if (ret < 0)
        return ret;
    struct conv2d_dims s = dims_of(c, &in[0]);
    plan->out = tensor_f32(4, (int[]){s.n, s.k, s.oh, s.ow});
    double per_out = 2.0 * s.c * s.kh * s.kw;
    plan->flops = (double)tensor_count(&plan->out) * per_out;
    plan->reads_in = true;
    return 0;
}

static size_t conv2d_work_bytes(const struct layer *l, struct device *d, const struct tensor in[],
                                enum run_mode run)
{
    struct conv2d_dims s = dims_of(conv2d_of(l), &in[0]);
    return d->kernels->conv2d_work(d, &s, run == RUN_TRAIN);
}

static const char *conv2d_missing(const struct layer *l, const struct kernels *k, enum run_mode run)
{
    if (!k->conv2d_forward || !k->conv2d_work)
        return "conv2d_forward";
    if (run == RUN_TRAIN && !k->conv2d_backward_data)
        return "conv2d_backward_data";
    if (run == RUN_TRAIN && !k->conv2d_backward_weights)
        return "conv2d_backward_weights";
    return NULL;
}

/* PyTorch's nn.Conv2d draws from kaiming_uniform(a = sqrt 5), which is U(-b, b) with b = 1 /
 * sqrt(fan_in), for weight and bias (He et al., "Delving deep into rectifiers", 2015, for the
 * kaiming rules). */
static void conv2d_init(const struct layer *l, struct device *d, uint64_t seed)
{
    const struct conv2d *c = conv2d_of(l);
    const struct tensor *weight = &l->param[0].value;
    float area = (float)(c->kernel * c->kernel);
    struct rng key = layer_weights_key(l, seed, 0);
    if (c->init == INIT_VGG) {
        float stddev = sqrtf(2.0f / (area * (float)c->out_channels));
        d->kernels->fill_normal(d, tensor_floats(weight), tensor_count(weight), &key, 0, stddev);
        if (c->bias)
            d->kernels->fill(d, tensor_floats(&l->param[1].value), (size_t)c->out_channels, 0);
        return;
    }
    float bound = 1.0f / sqrtf(area * (float)c->in_channels);
    d->kernels->fill_uniform(d, tensor_floats(weight), tensor_count(weight), &key, -bound, bound);
    if (c->bias) {
        key = layer_weights_key(l, seed, 1);
        d->kernels->fill_uniform(d, tensor_floats(&l->param[1].value), (size_t)c->out_channels,
                                 &key, -bound, bound);
    }
}

static void conv2d_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    const struct conv2d *c = conv2d_of(l);
    struct conv2d_dims s = dims_of(c, io->in[0]);
    d->kernels->conv2d_forward(
        d, tensor_floats(io->out), tensor_floats(io->in[0]), tensor_floats(&l->param[0].value),
        c->bias ? tensor_floats(&l->param[1].value) : NULL, &s, io->act, io->work);
}

static void conv2d_backward_data(const struct layer *l, struct device *d, struct layer_io *io)
{
    if (io->mode[0] == GRAD_NONE)
        return;
    struct conv2d_dims s = dims_of(conv2d_of(l), io->in[0]);
    d->kernels->conv2d_backward_data(d, tensor_floats(io->din[0]), tensor_floats(io->dout),
                                     tensor_floats(&l->param[0].value), &s, io->mode[0] == GRAD_ADD,
                                     io->work);
}

static void conv2d_backward_weights(const struct layer *l, struct device *d, struct layer_io *io,
                                    float scale)
{
    const struct conv2d *c = conv2d_of(l);
    struct conv2d_dims s = dims_of(c, io->in[0]);
    d->kernels->conv2d_backward_weights(d, l->param[0].grad, c->bias ? l->param[1].grad : NULL,
                                        tensor_floats(io->dout), tensor_floats(io->in[0]), &s,
                                        scale, io->work);
}

static bool conv2d_fuses_act(const struct layer *l, enum run_mode run)
{
    return true;
}

static char *conv2d_describe(const struct layer *l, char *text, size_t text_bytes)
{
    const struct conv2d *c = conv2d_of(l);
    snprintf(text, text_bytes, "%d -> %d, %dx%d, stride %d, pad %d%s", c->in_channels,
             c->out_channels, c->kernel, c->kernel, c->stride, c->pad, c->bias ? "" : ", no bias");
    return text;
}

static const struct layer_ops conv2d_ops = {
    .name = "conv2d",
    .plan = conv2d_plan,
    .work_bytes = conv2d_work_bytes,
    .missing = conv2d_missing,
    .init = conv2d_init,
    .forward = conv2d_forward,
    .backward_data = conv2d_backward_data,
    .backward_weights = conv2d_backward_weights,
    .fuses_act = conv2d_fuses_act,
    .describe = conv2d_describe,
};

struct layer *conv2d_new(int in_channels, int out_channels, int kernel, int stride, int pad,
                         bool bias, enum weight_init init)
{
    struct conv2d *c = layer_alloc(&conv2d_ops, sizeof(*c));
    if (!c)
        return NULL;
    c->in_channels = in_channels;
    c->out_channels = out_channels;
    c->kernel = kernel;
    c->stride = stride;
    c->pad = pad;
    c->bias = bias;
    c->init = init;
    layer_add_param(&c->layer, "weight", 4, (int[]){out_channels, in_channels, kernel, kernel});
    if (bias)
        layer_add_param(&c->layer, "bias", 1, (int[]){out_channels});
    return &c->layer;
}
