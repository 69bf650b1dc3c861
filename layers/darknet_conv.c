/*
 * darknet's section [convolutional]: convolution, batch-norm where it is asked for, activation, as
 * one layer with one number. Evaluation only. Parameters, N the layer's number: conv_N.weight (k,
 * c, size, size) and either conv_N.bias (k) or batch_norm_N.weight, bias, running_mean, running_var
 * (k). Before evaluation `fold` makes batch-norm part of the convolution's weights, in place: there
 * is one copy of them, and one pass over the pictures.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>

#include "base/err.h"
#include "layers/conv2d.h"
#include "layers/darknet.h"

struct darknet_conv {
    struct layer layer; /* first */
    struct darknet_conv_dims dims;
};

enum { PARAM_WEIGHT, PARAM_BIAS, PARAM_BN_WEIGHT = 1, PARAM_BN_BIAS, PARAM_MEAN, PARAM_VAR };

static const struct darknet_conv_dims *dims_of(const struct layer *l)
{
    return &((const struct darknet_conv *)l)->dims;
}

static float *param_of(const struct layer *l, int i)
{
    return tensor_floats(&l->param[i].value);
}

static struct conv2d_dims conv_of(const struct layer *l, const struct tensor *in)
{
    const struct darknet_conv_dims *c = dims_of(l);
    return conv2d_dims_of(in, c->filters, c->size, c->stride, c->pad);
}

static int darknet_conv_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                             struct layer_plan *plan)
{
    const struct darknet_conv_dims *c = dims_of(l);
    int ret = layer_want_images(l, &in[0], c->channels);
    if (ret < 0)
        return ret;
    ret = darknet_infers_only(l, run);
    if (ret < 0)
        return ret;
    ret = conv2d_want_room(l, &in[0], c->size, c->pad);
    if (ret < 0)
        return ret;
    struct conv2d_dims s = conv_of(l, &in[0]);
    if ((double)s.n * s.oh * s.ow > INT_MAX)
        return err_set(EINVAL,
                       "layer %d (convolutional): %d pictures of %dx%d at once are too many; give "
                       "fewer",
                       l->number, s.n, s.oh, s.ow);
    plan->out = tensor_f32(4, (int[]){s.n, s.k, s.oh, s.ow});
    plan->flops = (double)tensor_count(&plan->out) * 2 * s.c * s.kh * s.kw;
    return 0;
}

static size_t darknet_conv_work_bytes(const struct layer *l, struct device *d,
                                      const struct tensor in[], enum run_mode run)
{
    struct conv2d_dims s = conv_of(l, &in[0]);
    return d->kernels->conv2d_work(d, &s, 0);
}

static const char *darknet_conv_missing(const struct layer *l, const struct kernels *k,
                                        enum run_mode run)
{
    if (!k->conv2d_forward || !k->conv2d_work)
        return "conv2d_forward";
    return dims_of(l)->batch_normalize && !k->batchnorm_fold ? "batchnorm_fold" : NULL;
}

/* As PyTorch-YOLOv3 draws them: weights N(0, 0.02), batch-norm's N(1, 0.02); a bias as nn.Conv2d
 * does. */
static void darknet_conv_init(const struct layer *l, struct device *d, uint64_t seed)
{
    const struct darknet_conv_dims *c = dims_of(l);
    size_t filters = (size_t)c->filters;
    struct rng key = layer_weights_key(l, seed, PARAM_WEIGHT);
    d->kernels->fill_normal(d, param_of(l, PARAM_WEIGHT),
                            tensor_count(&l->param[PARAM_WEIGHT].value), &key, 0, 0.02f);
    if (!c->batch_normalize) {
        float bound = 1.0f / sqrtf((float)(c->size * c->size) * (float)c->channels);
        key = layer_weights_key(l, seed, PARAM_BIAS);
        d->kernels->fill_uniform(d, param_of(l, PARAM_BIAS), filters, &key, -bound, bound);
        return;
    }
    key = layer_weights_key(l, seed, PARAM_BN_WEIGHT);
    d->kernels->fill_normal(d, param_of(l, PARAM_BN_WEIGHT), filters, &key, 1, 0.02f);
    d->kernels->fill(d, param_of(l, PARAM_BN_BIAS), filters, 0);
    d->kernels->fill(d, param_of(l, PARAM_MEAN), filters, 0);
    d->kernels->fill(d, param_of(l, PARAM_VAR), filters, 1);
}

/* PyTorch divides by sqrt(var + 1e-5), and so does darknet on a GPU; on a CPU it divides by
 * sqrt(var) + 1e-6. Over 75 layers that moves YOLOv3's probabilities by 1e-3, so each file is
 * evaluated as the program that it comes from would. */
static const struct {
    float eps, root_eps;
} epsilon[] = {[ORIGIN_PYTORCH] = {1e-5f, 0}, [ORIGIN_DARKNET] = {0, 1e-6f}};

static void darknet_conv_fold(const struct layer *l, struct device *d, enum weights_origin origin)
{
    const struct darknet_conv_dims *c = dims_of(l);
    if (c->batch_normalize)
        d->kernels->batchnorm_fold(
            d, param_of(l, PARAM_WEIGHT), param_of(l, PARAM_BN_BIAS), param_of(l, PARAM_BN_WEIGHT),
            param_of(l, PARAM_MEAN), param_of(l, PARAM_VAR), c->filters,
            c->channels * c->size * c->size, epsilon[origin].eps, epsilon[origin].root_eps);
}

static void darknet_conv_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    const struct darknet_conv_dims *c = dims_of(l);
    struct conv2d_dims s = conv_of(l, io->in[0]);
    d->kernels->conv2d_forward(
        d, tensor_floats(io->out), tensor_floats(io->in[0]), param_of(l, PARAM_WEIGHT),
        param_of(l, c->batch_normalize ? PARAM_BN_BIAS : PARAM_BIAS), &s, c->act, io->work);
}

static char *darknet_conv_describe(const struct layer *l, char *text, size_t text_bytes)
{
    const struct darknet_conv_dims *c = dims_of(l);
    snprintf(text, text_bytes, "%d -> %d, %dx%d, stride %d, pad %d%s, %s", c->channels, c->filters,
             c->size, c->size, c->stride, c->pad, c->batch_normalize ? ", batch-norm" : "",
             darknet_act_name(c->act));
    return text;
}

static const struct layer_ops darknet_conv_ops = {
    .name = "convolutional",
    .plan = darknet_conv_plan,
    .work_bytes = darknet_conv_work_bytes,
    .missing = darknet_conv_missing,
    .init = darknet_conv_init,
    .fold = darknet_conv_fold,
    .forward = darknet_conv_forward,
    .describe = darknet_conv_describe,
};

static struct param *add_param(struct layer *l, const char *module, int number, const char *name,
                               int ndim, const int dim[])
{
    char text[LAYER_NAME_BYTES];
    snprintf(text, sizeof(text), "%s_%d.%s", module, number, name);
    return layer_add_param(l, text, ndim, dim);
}

struct layer *darknet_conv_new(int number, const struct darknet_conv_dims *dims)
{
    struct darknet_conv *c = layer_alloc(&darknet_conv_ops, sizeof(*c));
    if (!c)
        return NULL;
    struct layer *l = &c->layer;
    const int k = dims->filters;
    c->dims = *dims;
    add_param(l, "conv", number, "weight", 4, (int[]){k, dims->channels, dims->size, dims->size});
    if (!dims->batch_normalize) {
        add_param(l, "conv", number, "bias", 1, &k);
        return l;
    }
    add_param(l, "batch_norm", number, "weight", 1, &k);
    add_param(l, "batch_norm", number, "bias", 1, &k);
    add_param(l, "batch_norm", number, "running_mean", 1, &k)->state = true;
    add_param(l, "batch_norm", number, "running_var", 1, &k)->state = true;
    return l;
}

const char *darknet_act_name(enum act act)
{
    static const char *const name[ACT_COUNT] = {"linear", "relu", "leaky", "logistic"};
    return name[act];
}

int darknet_infers_only(const struct layer *l, enum run_mode run)
{
    if (run != RUN_TRAIN)
        return 0;
    return err_set(EINVAL,
                   "layer %d (%s): darknet models are for inference here, they are not trained",
                   l->number, l->ops->name);
}
