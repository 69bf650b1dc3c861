/*
 * A fully connected layer: out (n, k) = in (n, c) * weight (k, c)^T + bias (k), and an activation
 * in its epilogue where the model asks for it. Its variant behind an average pool that only repeats
 * its input is linear_repeated.c.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/err.h"
#include "layers/linear.h"

static const struct linear *linear_of(const struct layer *l)
{
    return (const struct linear *)l;
}

int linear_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                struct layer_plan *plan)
{
    const struct linear *f = linear_of(l);
    char text[64];
    if (in[0].ndim != 2 || in[0].dim[1] != f->in_features)
        return err_set(EINVAL, "layer %d (linear) wants (N, %d), it gets %s", l->number,
                       f->in_features, tensor_shape_text(&in[0], text, sizeof(text)));
    plan->out = tensor_f32(2, (int[]){in[0].dim[0], f->out_features});
    plan->flops = 2.0 * in[0].dim[0] * f->in_features * f->out_features;
    plan->reads_in = true;
    return 0;
}

size_t linear_work_bytes(const struct layer *l, struct device *d, const struct tensor in[],
                         enum run_mode run)
{
    const struct linear *f = linear_of(l);
    return d->kernels->linear_work(d, in[0].dim[0], f->in_features, f->out_features);
}

const char *linear_missing(const struct layer *l, const struct kernels *k, enum run_mode run)
{
    if (!k->linear_forward || !k->linear_work)
        return "linear_forward";
    if (run == RUN_TRAIN && !k->linear_backward_data)
        return "linear_backward_data";
    if (run == RUN_TRAIN && !k->linear_backward_weights)
        return "linear_backward_weights";
    return NULL;
}

/* INIT_PYTORCH: nn.Linear's U(-b, b), b = 1 / sqrt(fan_in), for weight and bias. INIT_VGG: N(0,
 * 0.01), bias 0. */
void linear_init(const struct layer *l, struct device *d, uint64_t seed)
{
    const struct linear *f = linear_of(l);
    const struct tensor *weight = &l->param[0].value, *bias = &l->param[1].value;
    struct rng key = layer_weights_key(l, seed, 0);
    if (f->init == INIT_VGG) {
        d->kernels->fill_normal(d, tensor_floats(weight), tensor_count(weight), &key, 0, 0.01f);
        d->kernels->fill(d, tensor_floats(bias), tensor_count(bias), 0);
        return;
    }
    float bound = 1.0f / sqrtf((float)f->in_features);
    d->kernels->fill_uniform(d, tensor_floats(weight), tensor_count(weight), &key, -bound, bound);
    key = layer_weights_key(l, seed, 1);
    d->kernels->fill_uniform(d, tensor_floats(bias), tensor_count(bias), &key, -bound, bound);
}

void linear_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    const struct linear *f = linear_of(l);
    d->kernels->linear_forward(d, tensor_floats(io->out), tensor_floats(io->in[0]),
                               tensor_floats(&l->param[0].value), tensor_floats(&l->param[1].value),
                               io->in[0]->dim[0], f->in_features, f->out_features, io->act,
                               io->work);
}

void linear_backward_data(const struct layer *l, struct device *d, struct layer_io *io)
{
    const struct linear *f = linear_of(l);
    if (io->mode[0] == GRAD_NONE)
        return;
    d->kernels->linear_backward_data(
        d, tensor_floats(io->din[0]), tensor_floats(io->dout), tensor_floats(&l->param[0].value),
        io->in[0]->dim[0], f->in_features, f->out_features, io->mode[0] == GRAD_ADD, io->work);
}

void linear_backward_weights(const struct layer *l, struct device *d, struct layer_io *io,
                             float scale)
{
    const struct linear *f = linear_of(l);
    d->kernels->linear_backward_weights(
        d, l->param[0].grad, l->param[1].grad, tensor_floats(io->dout), tensor_floats(io->in[0]),
        io->in[0]->dim[0], f->in_features, f->out_features, scale, io->work);
}

bool linear_fuses_act(const struct layer *l, enum run_mode run)
{
    return true;
}

char *linear_describe(const struct layer *l, char *text, size_t text_bytes)
{
    snprintf(text, text_bytes, "%d -> %d", linear_of(l)->in_features, linear_of(l)->out_features);
    return text;
}

static const struct layer_ops linear_ops = {
    .name = "linear",
    .plan = linear_plan,
    .work_bytes = linear_work_bytes,
    .missing = linear_missing,
    .init = linear_init,
    .forward = linear_forward,
    .backward_data = linear_backward_data,
    .backward_weights = linear_backward_weights,
    .fuses_act = linear_fuses_act,
    .describe = linear_describe,
};

void linear_setup(struct linear *f, int in_features, int out_features, enum weight_init init)
{
    f->in_features = in_features;
    f->out_features = out_features;
    f->init = init;
    layer_add_param(&f->layer, "weight", 2, (int[]){out_features, in_features});
    layer_add_param(&f->layer, "bias", 1, (int[]){out_features});
}

struct layer *linear_new(int in_features, int out_features, enum weight_init init)
{
    struct linear *f = layer_alloc(&linear_ops, sizeof(*f));
    if (!f)
        return NULL;
    linear_setup(f, in_features, out_features, init);
    return &f->layer;
}
