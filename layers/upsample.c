/* Nearest neighbour, by a whole factor. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/err.h"
#include "layers/darknet.h"

struct upsample {
    struct layer layer; /* first */
    int factor;
};

static int factor_of(const struct layer *l)
{
    return ((const struct upsample *)l)->factor;
}

static int upsample_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                         struct layer_plan *plan)
{
    int ret = layer_want_images(l, &in[0], 0), f = factor_of(l);
    if (ret < 0)
        return ret;
    if (in[0].dim[2] > INT_MAX / f || in[0].dim[3] > INT_MAX / f)
        return err_set(EINVAL, "layer %d (upsample): %dx%d pixels times %d is too much", l->number,
                       in[0].dim[2], in[0].dim[3], f);
    plan->out =
        tensor_f32(4, (int[]){in[0].dim[0], in[0].dim[1], in[0].dim[2] * f, in[0].dim[3] * f});
    return 0;
}

static const char *upsample_missing(const struct layer *l, const struct kernels *k,
                                    enum run_mode run)
{
    if (!k->upsample_forward)
        return "upsample_forward";
    return run == RUN_TRAIN && !k->upsample_backward ? "upsample_backward" : NULL;
}

static void upsample_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    const struct tensor *in = io->in[0];
    d->kernels->upsample_forward(d, tensor_floats(io->out), tensor_floats(in), in->dim[0],
                                 in->dim[1], in->dim[2], in->dim[3], factor_of(l));
}

static void upsample_backward_data(const struct layer *l, struct device *d, struct layer_io *io)
{
    const struct tensor *in = io->in[0];
    if (io->mode[0] == GRAD_NONE)
        return;
    d->kernels->upsample_backward(d, tensor_floats(io->din[0]), tensor_floats(io->dout), in->dim[0],
                                  in->dim[1], in->dim[2], in->dim[3], factor_of(l),
                                  io->mode[0] == GRAD_ADD);
}

static char *upsample_describe(const struct layer *l, char *text, size_t text_bytes)
{
    snprintf(text, text_bytes, "by %d", factor_of(l));
    return text;
}

static const struct layer_ops upsample_ops = {
    .name = "upsample",
    .plan = upsample_plan,
    .missing = upsample_missing,
    .forward = upsample_forward,
    .backward_data = upsample_backward_data,
    .describe = upsample_describe,
};

struct layer *upsample_new(int factor)
{
    CHECK(factor > 0);
    struct upsample *u = layer_alloc(&upsample_ops, sizeof(*u));
    if (!u)
        return NULL;
    u->factor = factor;
    return &u->layer;
}
