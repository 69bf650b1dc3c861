/*
 * darknet's section [route]: the images of several layers, channel after channel, or those of one
 * layer again, which needs no copy.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/err.h"
#include "layers/darknet.h"

static int route_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                      struct layer_plan *plan)
{
    plan->out = in[0];
    plan->alias = l->nin == 1;
    for (int i = 0; i < l->nin; i++) {
        int ret = layer_want_images(l, &in[i], 0);
        if (ret < 0)
            return ret;
        if (in[i].dim[2] != in[0].dim[2] || in[i].dim[3] != in[0].dim[3])
            return err_set(EINVAL,
                           "layer %d (route) joins pictures of one size, it gets %dx%d from layer "
                           "%d and %dx%d from layer %d",
                           l->number, in[0].dim[2], in[0].dim[3], l->input[0], in[i].dim[2],
                           in[i].dim[3], l->input[i]);
        if (i == 0)
            continue;
        if (plan->out.dim[1] > INT_MAX - in[i].dim[1])
            return err_set(EINVAL, "layer %d (route) joins too many channels", l->number);
        plan->out.dim[1] += in[i].dim[1];
    }
    return 0;
}

static const char *route_missing(const struct layer *l, const struct kernels *k, enum run_mode run)
{
    return k->copy_rows ? NULL : "copy_rows";
}

static void route_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    size_t row = tensor_row(io->out), at = 0;
    if (l->nin == 1) {
        layer_copy(d, io->out, io->in[0], GRAD_SET);
        return;
    }
    for (int i = 0; i < l->nin; i++) {
        size_t part = tensor_row(io->in[i]);
        d->kernels->copy_rows(d, tensor_floats(io->out) + at, row, tensor_floats(io->in[i]), part,
                              part, (size_t)io->out->dim[0], 0);
        at += part;
    }
}

static void route_backward_data(const struct layer *l, struct device *d, struct layer_io *io)
{
    size_t row = tensor_row(io->out), at = 0;
    if (l->nin == 1) {
        if (io->mode[0] != GRAD_NONE)
            layer_copy(d, io->din[0], io->dout, io->mode[0]);
        return;
    }
    for (int i = 0; i < l->nin; i++) {
        size_t part = tensor_row(io->in[i]);
        if (io->mode[i] != GRAD_NONE)
            d->kernels->copy_rows(d, tensor_floats(io->din[i]), part, tensor_floats(io->dout) + at,
                                  row, part, (size_t)io->out->dim[0], io->mode[i] == GRAD_ADD);
        at += part;
    }
}

static char *route_describe(const struct layer *l, char *text, size_t text_bytes)
{
    size_t used = (size_t)snprintf(text, text_bytes, "of");
    for (int i = 0; i < l->nin && used < text_bytes; i++)
        used += (size_t)snprintf(text + used, text_bytes - used, " %d", l->input[i]);
    return text;
}

static const struct layer_ops route_ops = {
    .name = "route",
    .plan = route_plan,
    .missing = route_missing,
    .forward = route_forward,
    .backward_data = route_backward_data,
    .describe = route_describe,
};

struct layer *route_new(void)
{
    return layer_alloc(&route_ops, sizeof(struct layer));
}
