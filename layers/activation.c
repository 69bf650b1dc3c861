/*
 * An activation as a layer of its own: ReLU, leaky ReLU (slope 0.1) or the logistic sigmoid,
 * elementwise. Mostly the layer before applies it in its epilogue; backward always runs here, from
 * the output, which gives the same bits.
 */
#include <stdio.h>

#include "base/err.h"
#include "layers/layer.h"

static int activation_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                           struct layer_plan *plan)
{
    plan->out = in[0];
    plan->flops = (double)tensor_count(&in[0]);
    plan->in_place = true;
    plan->grad_in_place = true;
    plan->reads_out = true;
    return 0;
}

static const char *activation_missing(const struct layer *l, const struct kernels *k,
                                      enum run_mode run)
{
    if (!k->act_forward)
        return "act_forward";
    if (run == RUN_TRAIN && !k->act_backward)
        return "act_backward";
    return NULL;
}

static void activation_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    d->kernels->act_forward(d, tensor_floats(io->out), tensor_floats(io->in[0]),
                            tensor_count(io->in[0]), l->act);
}

static void activation_backward_data(const struct layer *l, struct device *d, struct layer_io *io)
{
    if (io->mode[0] == GRAD_NONE)
        return;
    d->kernels->act_backward(d, tensor_floats(io->din[0]), tensor_floats(io->dout),
                             tensor_floats(io->out), tensor_count(io->out), l->act,
                             io->mode[0] == GRAD_ADD);
}

static char *activation_describe(const struct layer *l, char *text, size_t text_bytes)
{
    static const char *const name[ACT_COUNT] = {"none", "ReLU", "leaky ReLU, slope 0.1", "sigmoid"};
    snprintf(text, text_bytes, "%s", name[l->act]);
    return text;
}

static const struct layer_ops activation_ops = {
    .name = "activation",
    .plan = activation_plan,
    .missing = activation_missing,
    .forward = activation_forward,
    .backward_data = activation_backward_data,
    .describe = activation_describe,
};

struct layer *activation_new(enum act act)
{
    CHECK(act > ACT_NONE && act < ACT_COUNT);
    struct layer *l = layer_alloc(&activation_ops, sizeof(*l));
    if (l)
        l->act = act;
    return l;
}
