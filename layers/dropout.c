/*
 * Dropout (Srivastava et al., 2014), scaled by 1 / (1 - p) in training so that evaluation does
 * nothing. Its random numbers are keyed by (seed, layer, step, sample of the full batch, element):
 * no split, no number of micro-batches and no number of threads changes a mask, and backward draws
 * it again instead of keeping it.
 */
#include <stdio.h>

#include "base/err.h"
#include "layers/layer.h"

struct dropout {
    struct layer layer; /* first */
    float p;
};

static float drop_of(const struct layer *l)
{
    return ((const struct dropout *)l)->p;
}

static bool does_nothing(const struct layer *l, enum run_mode run)
{
    return run == RUN_EVAL || drop_of(l) == 0;
}

static bool dropout_varies(const struct layer *l, enum run_mode run)
{
    return !does_nothing(l, run);
}

static int dropout_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                        struct layer_plan *plan)
{
    plan->out = in[0];
    plan->alias = does_nothing(l, run);
    plan->in_place = true;
    plan->grad_in_place = true;
    return 0;
}

static const char *dropout_missing(const struct layer *l, const struct kernels *k,
                                   enum run_mode run)
{
    if (!k->copy_rows)
        return "copy_rows";
    if (run == RUN_TRAIN && !k->dropout_forward)
        return "dropout_forward";
    if (run == RUN_TRAIN && !k->dropout_backward)
        return "dropout_backward";
    return NULL;
}

static struct rng key_of(const struct layer *l, const struct layer_io *io)
{
    return rng_make(io->seed, RNG_DROPOUT, (uint32_t)l->number, io->step);
}

static void dropout_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    if (does_nothing(l, io->run)) {
        layer_copy(d, io->out, io->in[0], GRAD_SET);
        return;
    }
    struct rng key = key_of(l, io);
    d->kernels->dropout_forward(d, tensor_floats(io->out), tensor_floats(io->in[0]),
                                tensor_count(io->in[0]), drop_of(l), &key,
                                io->first_sample * tensor_row(io->in[0]));
}

static void dropout_backward_data(const struct layer *l, struct device *d, struct layer_io *io)
{
    if (io->mode[0] == GRAD_NONE)
        return;
    if (does_nothing(l, io->run)) {
        layer_copy(d, io->din[0], io->dout, io->mode[0]);
        return;
    }
    struct rng key = key_of(l, io);
    d->kernels->dropout_backward(d, tensor_floats(io->din[0]), tensor_floats(io->dout),
                                 tensor_count(io->dout), drop_of(l), &key,
                                 io->first_sample * tensor_row(io->dout), io->mode[0] == GRAD_ADD);
}

static char *dropout_describe(const struct layer *l, char *text, size_t text_bytes)
{
    snprintf(text, text_bytes, "p %g", drop_of(l));
    return text;
}

static const struct layer_ops dropout_ops = {
    .name = "dropout",
    .plan = dropout_plan,
    .missing = dropout_missing,
    .forward = dropout_forward,
    .backward_data = dropout_backward_data,
    .varies = dropout_varies,
    .describe = dropout_describe,
};

struct layer *dropout_new(float p)
{
    CHECK(p >= 0 && p < 1);
    struct dropout *drop = layer_alloc(&dropout_ops, sizeof(*drop));
    if (!drop)
        return NULL;
    drop->p = p;
    return &drop->layer;
}
