/*
 * PyTorch's AdaptiveAvgPool2d: any image to (out_h, out_w); a smaller image is replicated. On VGG's
 * 1x1 map it only repeats the value 49 times.
 */
#include <stdio.h>

#include "layers/layer.h"

struct avgpool {
    struct layer layer; /* first */
    int out_h, out_w;
};

static const struct avgpool *avgpool_of(const struct layer *l)
{
    return (const struct avgpool *)l;
}

static int avgpool_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                        struct layer_plan *plan)
{
    const struct avgpool *p = avgpool_of(l);
    int ret = layer_want_images(l, &in[0], 0);
    if (ret < 0)
        return ret;
    plan->out = tensor_f32(4, (int[]){in[0].dim[0], in[0].dim[1], p->out_h, p->out_w});
    plan->flops = (double)tensor_count(&in[0]);
    return 0;
}

static size_t avgpool_work_bytes(const struct layer *l, struct device *d, const struct tensor in[],
                                 enum run_mode run)
{
    if (d->kernels->avgpool_plan)
        d->kernels->avgpool_plan(d, in[0].dim[0], in[0].dim[1], in[0].dim[2], in[0].dim[3],
                                 avgpool_of(l)->out_h, avgpool_of(l)->out_w, run == RUN_TRAIN);
    return 0;
}

static const char *avgpool_missing(const struct layer *l, const struct kernels *k,
                                   enum run_mode run)
{
    if (!k->avgpool_forward)
        return "avgpool_forward";
    if (run == RUN_TRAIN && !k->avgpool_backward)
        return "avgpool_backward";
    return NULL;
}

static void avgpool_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    const struct tensor *in = io->in[0];
    d->kernels->avgpool_forward(d, tensor_floats(io->out), tensor_floats(in), in->dim[0],
                                in->dim[1], in->dim[2], in->dim[3], avgpool_of(l)->out_h,
                                avgpool_of(l)->out_w);
}

static void avgpool_backward_data(const struct layer *l, struct device *d, struct layer_io *io)
{
    const struct tensor *in = io->in[0];
    if (io->mode[0] == GRAD_NONE)
        return;
    d->kernels->avgpool_backward(d, tensor_floats(io->din[0]), tensor_floats(io->dout), in->dim[0],
                                 in->dim[1], in->dim[2], in->dim[3], avgpool_of(l)->out_h,
                                 avgpool_of(l)->out_w, io->mode[0] == GRAD_ADD);
}

static char *avgpool_describe(const struct layer *l, char *text, size_t text_bytes)
{
    snprintf(text, text_bytes, "to %dx%d", avgpool_of(l)->out_h, avgpool_of(l)->out_w);
    return text;
}

static const struct layer_ops avgpool_ops = {
    .name = "avgpool",
    .plan = avgpool_plan,
    .work_bytes = avgpool_work_bytes,
    .missing = avgpool_missing,
    .forward = avgpool_forward,
    .backward_data = avgpool_backward_data,
    .describe = avgpool_describe,
};

struct layer *avgpool_new(int out_h, int out_w)
{
    struct avgpool *p = layer_alloc(&avgpool_ops, sizeof(*p));
    if (!p)
        return NULL;
    p->out_h = out_h;
    p->out_w = out_w;
    return &p->layer;
}
