/*
 * darknet's section [shortcut]: the sum of two layers of the same shape (He et al., "Deep residual
 * learning for image recognition", 2016), then an activation, mostly none.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "layers/darknet.h"

struct shortcut {
    struct layer layer; /* first */
    enum act act;
};

static enum act act_of(const struct layer *l)
{
    return ((const struct shortcut *)l)->act;
}

static int shortcut_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                         struct layer_plan *plan)
{
    char a[64], b[64];
    int ret = layer_want_images(l, &in[0], 0);
    if (ret == 0)
        ret = layer_want_images(l, &in[1], 0);
    if (ret < 0)
        return ret;
    if (memcmp(in[0].dim, in[1].dim, sizeof(in[0].dim)) != 0)
        return err_set(EINVAL,
                       "layer %d (shortcut) adds layers of one shape, it gets %s from layer %d "
                       "and %s from layer %d",
                       l->number, tensor_shape_text(&in[0], a, sizeof(a)), l->input[0],
                       tensor_shape_text(&in[1], b, sizeof(b)), l->input[1]);
    if (act_of(l) != ACT_NONE) {
        ret = darknet_infers_only(l, run);
        if (ret < 0)
            return ret;
    }
    plan->out = in[0];
    plan->in_place = true;
    plan->flops = (double)tensor_count(&in[0]);
    return 0;
}

static const char *shortcut_missing(const struct layer *l, const struct kernels *k,
                                    enum run_mode run)
{
    if (!k->copy_rows)
        return "copy_rows";
    return act_of(l) != ACT_NONE && !k->act_forward ? "act_forward" : NULL;
}

static void shortcut_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    layer_copy(d, io->out, io->in[0], GRAD_SET);
    layer_copy(d, io->out, io->in[1], GRAD_ADD);
    if (act_of(l) != ACT_NONE)
        d->kernels->act_forward(d, tensor_floats(io->out), tensor_floats(io->out),
                                tensor_count(io->out), act_of(l));
}

static void shortcut_backward_data(const struct layer *l, struct device *d, struct layer_io *io)
{
    for (int i = 0; i < 2; i++)
        if (io->mode[i] != GRAD_NONE)
            layer_copy(d, io->din[i], io->dout, io->mode[i]);
}

static char *shortcut_describe(const struct layer *l, char *text, size_t text_bytes)
{
    snprintf(text, text_bytes, "%d + %d, %s", l->input[0], l->input[1],
             darknet_act_name(act_of(l)));
    return text;
}

static const struct layer_ops shortcut_ops = {
    .name = "shortcut",
    .plan = shortcut_plan,
    .missing = shortcut_missing,
    .forward = shortcut_forward,
    .backward_data = shortcut_backward_data,
    .describe = shortcut_describe,
};

struct layer *shortcut_new(enum act act)
{
    struct shortcut *s = layer_alloc(&shortcut_ops, sizeof(*s));
    if (!s)
        return NULL;
    s->act = act;
    return &s->layer;
}
