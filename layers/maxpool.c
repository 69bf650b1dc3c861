/*
 * Max-pool with a square window. Padding is minus infinity and may differ before and after the
 * image (darknet's 2x2 pool of stride 1 pads after it alone). Training keeps where each maximum
 * was, one byte an output.
 */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "layers/layer.h"

struct maxpool {
    struct layer layer; /* first */
    int kernel, stride, pad_before, pad_after;
};

static const struct maxpool *maxpool_of(const struct layer *l)
{
    return (const struct maxpool *)l;
}

static struct pool_dims dims_of(const struct maxpool *p, const struct tensor *in)
{
    int pad = p->pad_before + p->pad_after;
    struct pool_dims s = {
        .n = in->dim[0],
        .c = in->dim[1],
        .h = in->dim[2],
        .w = in->dim[3],
        .kh = p->kernel,
        .kw = p->kernel,
        .sh = p->stride,
        .sw = p->stride,
        .ph = p->pad_before,
        .pw = p->pad_before,
        .oh = (in->dim[2] + pad - p->kernel) / p->stride + 1,
        .ow = (in->dim[3] + pad - p->kernel) / p->stride + 1,
    };
    return s;
}

static int maxpool_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                        struct layer_plan *plan)
{
    const struct maxpool *p = maxpool_of(l);
    int ret = layer_want_images(l, &in[0], 0);
    if (ret < 0)
        return ret;
    int pad = p->pad_before + p->pad_after;
    if (in[0].dim[2] + pad < p->kernel || in[0].dim[3] + pad < p->kernel)
        return err_set(EINVAL,
                       "layer %d (maxpool): its %dx%d window is larger than its %dx%d input; give "
                       "the model larger pictures",
                       l->number, p->kernel, p->kernel, in[0].dim[2], in[0].dim[3]);
    struct pool_dims s = dims_of(p, &in[0]);
    int out[] = {s.n, s.c, s.oh, s.ow};
    plan->out = tensor_f32(4, out);
    plan->flops = (double)tensor_count(&plan->out) * s.kh * s.kw;
    if (run == RUN_TRAIN)
        layer_plan_save(plan, DTYPE_U8, 4, out);
    return 0;
}

static size_t maxpool_work_bytes(const struct layer *l, struct device *d, const struct tensor in[],
                                 enum run_mode run)
{
    struct pool_dims s = dims_of(maxpool_of(l), &in[0]);
    if (d->kernels->maxpool_plan)
        d->kernels->maxpool_plan(d, &s, run == RUN_TRAIN);
    return 0;
}

static const char *maxpool_missing(const struct layer *l, const struct kernels *k,
                                   enum run_mode run)
{
    if (!k->maxpool_forward)
        return "maxpool_forward";
    if (run == RUN_TRAIN && !k->maxpool_backward)
        return "maxpool_backward";
    return NULL;
}

static void maxpool_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    struct pool_dims s = dims_of(maxpool_of(l), io->in[0]);
    uint8_t *arg = io->run == RUN_TRAIN ? io->saved[0].data : NULL;
    d->kernels->maxpool_forward(d, tensor_floats(io->out), arg, tensor_floats(io->in[0]), &s);
}

static void maxpool_backward_data(const struct layer *l, struct device *d, struct layer_io *io)
{
    if (io->mode[0] == GRAD_NONE)
        return;
    struct pool_dims s = dims_of(maxpool_of(l), io->in[0]);
    d->kernels->maxpool_backward(d, tensor_floats(io->din[0]), tensor_floats(io->dout),
                                 io->saved[0].data, &s, io->mode[0] == GRAD_ADD);
}

static char *maxpool_describe(const struct layer *l, char *text, size_t text_bytes)
{
    const struct maxpool *p = maxpool_of(l);
    if (p->pad_before == p->pad_after)
        snprintf(text, text_bytes, "%dx%d, stride %d, pad %d", p->kernel, p->kernel, p->stride,
                 p->pad_before);
    else
        snprintf(text, text_bytes, "%dx%d, stride %d, pad %d before, %d after", p->kernel,
                 p->kernel, p->stride, p->pad_before, p->pad_after);
    return text;
}

static const struct layer_ops maxpool_ops = {
    .name = "maxpool",
    .plan = maxpool_plan,
    .work_bytes = maxpool_work_bytes,
    .missing = maxpool_missing,
    .forward = maxpool_forward,
    .backward_data = maxpool_backward_data,
    .describe = maxpool_describe,
};

struct layer *maxpool_new(int kernel, int stride, int pad_before, int pad_after)
{
    CHECK(kernel > 0 && kernel <= 16 && stride > 0); /* a place in the window is one byte */
    struct maxpool *p = layer_alloc(&maxpool_ops, sizeof(*p));
    if (!p)
        return NULL;
    p->kernel = kernel;
    p->stride = stride;
    p->pad_before = pad_before;
    p->pad_after = pad_after;
    return &p->layer;
}
