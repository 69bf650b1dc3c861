/*
 * A linear layer whose input repeats each of c values r = h * w times, as VGG's first one behind
 * the average pool that spreads a 1 x 1 map over 7 x 7. Then out = x * sum^T with sum (k, c) = the
 * weights summed over each run of r, and the gradient of all weights of a run is the same number:
 * under plain SGD they differ for ever by what they differed by at first. So the weights stay as
 * they came, what they have all moved by is `delta` (k, c), and the step works on sum and delta
 * alone: r times fewer operations and bytes, exactly the same function and update but for the order
 * of summation.
 *
 * With gradients of its own (momentum, weight decay, micro-batches) the layer is an ordinary one.
 * The input's gradient is right as a sum over each run, which is all that reaches the repeated
 * value; it stands in the run's first element.
 */
#include <stdlib.h>

#include "layers/linear.h"

struct linear_repeated {
    struct linear linear; /* first */
    int channels, h, w;
    struct buffer own;
    float *sum, *delta; /* (k, c); NULL until bound */
};

static const struct linear_repeated *repeated_of(const struct layer *l)
{
    return (const struct linear_repeated *)l;
}

static size_t count_of(const struct linear_repeated *r)
{
    return (size_t)r->linear.out_features * (size_t)r->channels;
}

/* Whether this pass works on sum and delta: where the update goes straight into the weights, and
 * where nothing is trained. */
static bool folded(const struct linear_repeated *r)
{
    const struct param *weight = &r->linear.layer.param[0];
    return r->sum && (!weight->grad || weight->grad == tensor_floats(&weight->value));
}

static int repeated_bind(struct layer *l, struct device *d)
{
    struct linear_repeated *r = (struct linear_repeated *)l;
    size_t n = count_of(r);
    int ret = buffer_open(&r->own, d, PLACE_DEVICE, 2 * n * sizeof(float), "folded weights");
    if (ret < 0)
        return ret;
    r->sum = r->own.base;
    r->delta = r->sum + n;
    return 0;
}

static void repeated_prepare(struct layer *l, struct device *d)
{
    struct linear_repeated *r = (struct linear_repeated *)l;
    const struct kernels *k = d->kernels;
    struct param *weight = &l->param[0];
    size_t n = count_of(r);
    int repeat = r->h * r->w;
    if (!folded(r))
        return;
    k->avgpool_forward(d, r->sum, tensor_floats(&weight->value), r->linear.out_features,
                       r->channels, r->h, r->w, 1, 1);
    k->axpby(d, r->sum, r->sum, n, (float)repeat, 0);
    k->fill(d, r->delta, n, 0);
    weight->delta = r->delta;
    weight->repeat = repeat;
}

static void repeated_settle(struct layer *l, struct device *d)
{
    struct linear_repeated *r = (struct linear_repeated *)l;
    const struct kernels *k = d->kernels;
    struct param *weight = &l->param[0];
    if (!weight->delta)
        return;
    /* the pool's gradient is what is wanted, times the window it divides by */
    k->axpby(d, r->delta, r->delta, count_of(r), (float)(r->h * r->w), 0);
    k->avgpool_backward(d, tensor_floats(&weight->value), r->delta, r->linear.out_features,
                        r->channels, r->h, r->w, 1, 1, 1);
    weight->delta = NULL;
}

/* The work area: x or dx (n, c), then what the kernels want. */
static size_t values_bytes(const struct linear_repeated *r, int n)
{
    struct tensor t = tensor_f32(2, (int[]){n, r->channels});
    return (tensor_bytes(&t) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

static size_t repeated_work_bytes(const struct layer *l, struct device *d, const struct tensor in[],
                                  enum run_mode run)
{
    const struct linear_repeated *r = repeated_of(l);
    int n = in[0].dim[0];
    size_t small =
        values_bytes(r, n) + d->kernels->linear_work(d, n, r->channels, r->linear.out_features);
    size_t full = linear_work_bytes(l, d, in, run);
    return small > full ? small : full;
}

static const char *repeated_missing(const struct layer *l, const struct kernels *k,
                                    enum run_mode run)
{
    if (!k->avgpool_forward || !k->avgpool_backward)
        return "avgpool_forward";
    return linear_missing(l, k, run);
}

/* The repeated values themselves: the first of each run. */
static float *gather(const struct linear_repeated *r, struct device *d, struct layer_io *io)
{
    size_t rows = (size_t)io->in[0]->dim[0] * (size_t)r->channels;
    d->kernels->copy_rows(d, io->work, 1, tensor_floats(io->in[0]), (size_t)r->h * (size_t)r->w, 1,
                          rows, 0);
    return io->work;
}

static void repeated_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    const struct linear_repeated *r = repeated_of(l);
    if (!folded(r)) {
        linear_forward(l, d, io);
        return;
    }
    int n = io->in[0]->dim[0];
    float *x = gather(r, d, io);
    d->kernels->linear_forward(
        d, tensor_floats(io->out), x, r->sum, tensor_floats(&l->param[1].value), n, r->channels,
        r->linear.out_features, io->act, (char *)io->work + values_bytes(r, n));
}

static void repeated_backward_data(const struct layer *l, struct device *d, struct layer_io *io)
{
    const struct linear_repeated *r = repeated_of(l);
    if (!folded(r)) {
        linear_backward_data(l, d, io);
        return;
    }
    if (io->mode[0] == GRAD_NONE)
        return;
    int n = io->in[0]->dim[0];
    size_t rows = (size_t)n * (size_t)r->channels, repeat = (size_t)r->h * (size_t)r->w;
    float *dx = io->work;
    d->kernels->linear_backward_data(d, dx, tensor_floats(io->dout), r->sum, n, r->channels,
                                     r->linear.out_features, 0,
                                     (char *)io->work + values_bytes(r, n));
    if (io->mode[0] == GRAD_SET)
        d->kernels->fill(d, tensor_floats(io->din[0]), rows * repeat, 0);
    d->kernels->copy_rows(d, tensor_floats(io->din[0]), repeat, dx, 1, 1, rows, 1);
}

static void repeated_backward_weights(const struct layer *l, struct device *d, struct layer_io *io,
                                      float scale)
{
    const struct linear_repeated *r = repeated_of(l);
    if (!folded(r)) {
        linear_backward_weights(l, d, io, scale);
        return;
    }
    int n = io->in[0]->dim[0], k = r->linear.out_features;
    const float *x = gather(r, d, io), *dout = tensor_floats(io->dout);
    void *work = (char *)io->work + values_bytes(r, n);
    d->kernels->linear_backward_weights(d, r->delta, l->param[1].grad, dout, x, n, r->channels, k,
                                        scale, work);
    d->kernels->linear_backward_weights(d, r->sum, NULL, dout, x, n, r->channels, k,
                                        scale * (float)(r->h * r->w), work);
}

static void repeated_free(struct layer *l)
{
    struct linear_repeated *r = (struct linear_repeated *)l;
    buffer_close(&r->own);
    free(r);
}

static const struct layer_ops linear_repeated_ops = {
    .name = "linear",
    .plan = linear_plan,
    .work_bytes = repeated_work_bytes,
    .missing = repeated_missing,
    .init = linear_init,
    .bind = repeated_bind,
    .prepare = repeated_prepare,
    .settle = repeated_settle,
    .forward = repeated_forward,
    .backward_data = repeated_backward_data,
    .backward_weights = repeated_backward_weights,
    .fuses_act = linear_fuses_act,
    .describe = linear_describe,
    .free = repeated_free,
};

struct layer *linear_repeated_new(int channels, int h, int w, int out_features,
                                  enum weight_init init)
{
    struct linear_repeated *r = layer_alloc(&linear_repeated_ops, sizeof(*r));
    if (!r)
        return NULL;
    linear_setup(&r->linear, channels * h * w, out_features, init);
    r->channels = channels;
    r->h = h;
    r->w = w;
    return &r->linear.layer;
}
