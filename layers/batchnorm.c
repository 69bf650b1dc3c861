/*
 * Batch normalisation over (n, c, h, w) (Ioffe, Szegedy, "Batch normalization", 2015). Training
 * normalises by the micro-batch's own statistics and moves the running ones; evaluation uses the
 * running ones, with an activation in its epilogue where the model asks for it. Parameters: weight,
 * bias; state: running_mean, running_var; all (c).
 */
#include <stdio.h>

#include "layers/layer.h"

struct batchnorm {
    struct layer layer; /* first */
    int channels;
    float momentum, eps;
};

enum { PARAM_WEIGHT, PARAM_BIAS, PARAM_MEAN, PARAM_VAR };
enum { SAVED_MEAN, SAVED_INVSTD, SAVED_DWEIGHT, SAVED_DBIAS };

static const struct batchnorm *batchnorm_of(const struct layer *l)
{
    return (const struct batchnorm *)l;
}

static float *param_of(const struct layer *l, int i)
{
    return tensor_floats(&l->param[i].value);
}

static int batchnorm_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                          struct layer_plan *plan)
{
    const struct batchnorm *b = batchnorm_of(l);
    int ret = layer_want_images(l, &in[0], b->channels);
    if (ret < 0)
        return ret;
    plan->out = in[0];
    plan->flops = 2.0 * (double)tensor_count(&in[0]);
    plan->reads_in = true;
    if (run == RUN_TRAIN)
        for (int i = SAVED_MEAN; i <= SAVED_DBIAS; i++)
            layer_plan_save(plan, DTYPE_F32, 1, &b->channels);
    return 0;
}

/* backward_data also makes the parameters' gradients: where nobody wants the input's, it goes
 * into scratch. */
static size_t batchnorm_work_bytes(const struct layer *l, struct device *d,
                                   const struct tensor in[], enum run_mode run)
{
    const struct batchnorm *b = batchnorm_of(l);
    if (d->kernels->batchnorm_plan)
        d->kernels->batchnorm_plan(d, in[0].dim[0], b->channels, in[0].dim[2] * in[0].dim[3],
                                   b->eps, run == RUN_TRAIN);
    return run == RUN_TRAIN ? tensor_bytes(&in[0]) : 0;
}

static const char *batchnorm_missing(const struct layer *l, const struct kernels *k,
                                     enum run_mode run)
{
    if (!k->batchnorm_forward_eval)
        return "batchnorm_forward_eval";
    if (run == RUN_TRAIN && !k->batchnorm_forward_train)
        return "batchnorm_forward_train";
    if (run == RUN_TRAIN && !k->batchnorm_backward_data)
        return "batchnorm_backward_data";
    return NULL;
}

static void batchnorm_init(const struct layer *l, struct device *d, uint64_t seed)
{
    size_t channels = (size_t)batchnorm_of(l)->channels;
    d->kernels->fill(d, param_of(l, PARAM_WEIGHT), channels, 1);
    d->kernels->fill(d, param_of(l, PARAM_BIAS), channels, 0);
    d->kernels->fill(d, param_of(l, PARAM_MEAN), channels, 0);
    d->kernels->fill(d, param_of(l, PARAM_VAR), channels, 1);
}

static void batchnorm_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    const struct batchnorm *b = batchnorm_of(l);
    const struct tensor *in = io->in[0];
    int hw = in->dim[2] * in->dim[3];
    if (io->run == RUN_EVAL)
        d->kernels->batchnorm_forward_eval(d, tensor_floats(io->out), tensor_floats(in),
                                           param_of(l, PARAM_WEIGHT), param_of(l, PARAM_BIAS),
                                           param_of(l, PARAM_MEAN), param_of(l, PARAM_VAR),
                                           in->dim[0], b->channels, hw, b->eps, io->act);
    else
        d->kernels->batchnorm_forward_train(
            d, tensor_floats(io->out), tensor_floats(&io->saved[SAVED_MEAN]),
            tensor_floats(&io->saved[SAVED_INVSTD]), param_of(l, PARAM_MEAN),
            param_of(l, PARAM_VAR), tensor_floats(in), param_of(l, PARAM_WEIGHT),
            param_of(l, PARAM_BIAS), in->dim[0], b->channels, hw, b->momentum, b->eps);
}

static void batchnorm_backward_data(const struct layer *l, struct device *d, struct layer_io *io)
{
    const struct tensor *in = io->in[0];
    float *dinp = io->mode[0] == GRAD_NONE ? io->work : tensor_floats(io->din[0]);
    d->kernels->batchnorm_backward_data(
        d, dinp, tensor_floats(&io->saved[SAVED_DWEIGHT]), tensor_floats(&io->saved[SAVED_DBIAS]),
        tensor_floats(io->dout), tensor_floats(in), param_of(l, PARAM_WEIGHT),
        tensor_floats(&io->saved[SAVED_MEAN]), tensor_floats(&io->saved[SAVED_INVSTD]), in->dim[0],
        batchnorm_of(l)->channels, in->dim[2] * in->dim[3], batchnorm_of(l)->eps,
        io->mode[0] == GRAD_ADD);
}

static void batchnorm_backward_weights(const struct layer *l, struct device *d, struct layer_io *io,
                                       float scale)
{
    size_t channels = (size_t)batchnorm_of(l)->channels;
    d->kernels->axpy(d, l->param[PARAM_WEIGHT].grad, tensor_floats(&io->saved[SAVED_DWEIGHT]),
                     channels, scale);
    d->kernels->axpy(d, l->param[PARAM_BIAS].grad, tensor_floats(&io->saved[SAVED_DBIAS]), channels,
                     scale);
}

static bool batchnorm_fuses_act(const struct layer *l, enum run_mode run)
{
    return run == RUN_EVAL;
}

static char *batchnorm_describe(const struct layer *l, char *text, size_t text_bytes)
{
    const struct batchnorm *b = batchnorm_of(l);
    snprintf(text, text_bytes, "%d, momentum %g, eps %g", b->channels, b->momentum, b->eps);
    return text;
}

static const struct layer_ops batchnorm_ops = {
    .name = "batchnorm",
    .plan = batchnorm_plan,
    .work_bytes = batchnorm_work_bytes,
    .missing = batchnorm_missing,
    .init = batchnorm_init,
    .forward = batchnorm_forward,
    .backward_data = batchnorm_backward_data,
    .backward_weights = batchnorm_backward_weights,
    .fuses_act = batchnorm_fuses_act,
    .describe = batchnorm_describe,
};

struct layer *batchnorm_new(int channels, float momentum, float eps)
{
    struct batchnorm *b = layer_alloc(&batchnorm_ops, sizeof(*b));
    if (!b)
        return NULL;
    b->channels = channels;
    b->momentum = momentum;
    b->eps = eps;
    layer_add_param(&b->layer, "weight", 1, &channels);
    layer_add_param(&b->layer, "bias", 1, &channels);
    layer_add_param(&b->layer, "running_mean", 1, &channels)->state = true;
    layer_add_param(&b->layer, "running_var", 1, &channels)->state = true;
    return &b->layer;
}
