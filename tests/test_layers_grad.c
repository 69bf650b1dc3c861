/*
 * Every layer's backward against finite differences of its forward, on each instruction set: the
 * gradient of sum(probe * out) with random probes, inputs and parameters, on small odd shapes. Also
 * the modes of input gradients, the scale of parameter gradients, fused activations, dropout's
 * keys.
 *
 * The differences are central ones of fourth order (five points), sums in double. With h = 1/8 the
 * truncation h^4 / 30 f^(5) is below 1e-5 of the value for the smooth layers and zero for the
 * linear ones; rounding of the float outputs, 6e-8 each, over h is of the same size. So 1e-8 of
 * NMSE, a relative error of 1e-4, leaves room, and a wrong term of a gradient is far outside.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "layers/darknet.h"
#include "tests/check.h"

static const float step_size = 0.125f;
static const double numeric_limit = 1e-8;

struct rig {
    struct device *d;
    struct layer *l;
    struct layer_plan plan;
    struct tensor in, out, dout, din;
    struct layer_io io;
    float *param_data[LAYER_MAX_PARAM], *param_grad[LAYER_MAX_PARAM];
};

/* Uniform in [-1, 1], but none within 0.5 of zero (ReLU's kink) or of another (max-pool's): the
 * stencil moves one number by 0.25 at most. */
static void fill_spread(float *x, size_t n, uint32_t seed)
{
    struct rng r = rng_make(seed, RNG_TEST, 1, 0);
    for (size_t i = 0; i < n; i++)
        x[i] = ((float)i + 1) * (i % 2 ? 0.5f : -0.5f);
    for (size_t i = n; i-- > 1;) {
        size_t j = rng_word(&r, i) % (i + 1);
        float t = x[i];
        x[i] = x[j];
        x[j] = t;
    }
}

static void rig_params(struct rig *r)
{
    for (int i = 0; i < r->l->nparam; i++) {
        struct param *p = &r->l->param[i];
        size_t n = tensor_count(&p->value);
        /* positive: a batch-norm's variance is among them */
        float low = p->state ? 0.5f : -1;
        r->param_data[i] = random_floats(n, 70 + (uint32_t)i, low, 1.5f);
        p->value.data = r->param_data[i];
        r->param_grad[i] = guarded_floats(n);
        p->grad = p->state ? NULL : r->param_grad[i];
    }
}

static void rig_open(struct rig *r, struct device *d, struct layer *l, int ndim, const int dim[],
                     enum run_mode run, bool spread)
{
    *r = (struct rig){.d = d, .l = l, .in = tensor_f32(ndim, dim)};
    CHECK(l);
    l->number = 3;
    const char *missing = l->ops->missing ? l->ops->missing(l, d->kernels, run) : NULL;
    if (missing)
        fail_msg("%s lacks %s", d->kernels->name, missing);
    assert_int_equal(l->ops->plan(l, &r->in, run, &r->plan), 0);
    rig_params(r);
    r->out = r->dout = r->plan.out;
    r->din = r->in;
    r->in.data = random_floats(tensor_count(&r->in), 5, -1, 1);
    if (spread)
        fill_spread(r->in.data, tensor_count(&r->in), 5);
    r->out.data = guarded_floats(tensor_count(&r->out));
    r->dout.data = random_floats(tensor_count(&r->out), 6, -1, 1);
    r->din.data = guarded_floats(tensor_count(&r->in));
    for (int i = 0; i < r->plan.nsaved; i++) {
        r->io.saved[i] = r->plan.saved[i];
        r->io.saved[i].data = guarded(tensor_bytes(&r->plan.saved[i]));
    }
    size_t work = l->ops->work_bytes ? l->ops->work_bytes(l, d, &r->in, run) : 0;
    r->io.in[0] = &r->in;
    r->io.out = &r->out;
    r->io.dout = &r->dout;
    r->io.din[0] = &r->din;
    r->io.mode[0] = GRAD_SET;
    r->io.work = guarded(work);
    r->io.run = run;
    r->io.seed = 11;
    r->io.step = 4;
    r->io.first_sample = 6;
}

static void rig_close(struct rig *r)
{
    for (int i = 0; i < r->l->nparam; i++) {
        guarded_free(r->param_data[i]);
        guarded_free(r->param_grad[i]);
    }
    for (int i = 0; i < r->plan.nsaved; i++)
        guarded_free(r->io.saved[i].data);
    guarded_free(r->io.work);
    guarded_free(r->in.data);
    guarded_free(r->out.data);
    guarded_free(r->dout.data);
    guarded_free(r->din.data);
    layer_free(r->l);
}

static double probe(struct rig *r)
{
    poison(r->out.data, tensor_bytes(&r->out));
    r->l->ops->forward(r->l, r->d, &r->io);
    double sum = 0;
    for (size_t i = 0; i < tensor_count(&r->out); i++)
        sum += (double)tensor_floats(&r->dout)[i] * (double)tensor_floats(&r->out)[i];
    return sum;
}

/* d probe / d x[i] for all i of x. */
static void differences(struct rig *r, float *x, size_t n, float *slope)
{
    for (size_t i = 0; i < n; i++) {
        float was = x[i];
        double f[5];
        for (int k = -2; k <= 2; k++) {
            x[i] = was + (float)k * step_size;
            f[k + 2] = k ? probe(r) : 0;
        }
        x[i] = was;
        slope[i] = (float)((f[0] - 8 * f[1] + 8 * f[3] - f[4]) / (12 * (double)step_size));
    }
}

static void assert_varied(const char *what, const float *x, size_t n)
{
    size_t other = 0;
    for (size_t i = 1; i < n; i++)
        other += x[i] != x[0];
    if (n > 1 && !other)
        fail_msg("%s: all %zu gradients are %g", what, n, x[0]);
}

static void check_input_gradient(struct rig *r, const char *what)
{
    size_t n = tensor_count(&r->in);
    float *slope = guarded_floats(n), *before = random_floats(n, 8, -1, 1);
    differences(r, r->in.data, n, slope);
    assert_varied(what, slope, n);

    probe(r);
    r->l->ops->backward_data(r->l, r->d, &r->io);
    check_nmse(what, r->din.data, slope, n, numeric_limit);

    for (size_t i = 0; i < n; i++)
        slope[i] = before[i] + tensor_floats(&r->din)[i];
    memcpy(r->din.data, before, n * sizeof(float));
    r->io.mode[0] = GRAD_ADD;
    r->l->ops->backward_data(r->l, r->d, &r->io);
    check_nmse("GRAD_ADD", r->din.data, slope, n, 1e-13);
    r->io.mode[0] = GRAD_SET;
    guarded_free(slope);
    guarded_free(before);
}

/* Nobody wants the input's gradient here: the parameters' must come all the same. */
static void check_param_gradients(struct rig *r, const char *what)
{
    const float scale = -0.25f;
    for (int i = 0; i < r->l->nparam; i++) {
        struct param *p = &r->l->param[i];
        size_t n = tensor_count(&p->value);
        if (p->state)
            continue;
        float *want = guarded_floats(n), *before = random_floats(n, 20 + (uint32_t)i, -1, 1);
        differences(r, p->value.data, n, want);
        assert_varied(p->name, want, n);
        for (int j = 0; j < r->l->nparam; j++)
            memset(r->param_grad[j], 0, tensor_bytes(&r->l->param[j].value));
        memcpy(p->grad, before, n * sizeof(float));
        r->io.mode[0] = GRAD_NONE;
        r->io.din[0] = NULL;
        probe(r);
        r->l->ops->backward_data(r->l, r->d, &r->io);
        r->l->ops->backward_weights(r->l, r->d, &r->io, scale);
        r->io.mode[0] = GRAD_SET;
        r->io.din[0] = &r->din;
        for (size_t j = 0; j < n; j++)
            p->grad[j] = (p->grad[j] - before[j]) / scale;
        char text[160];
        snprintf(text, sizeof(text), "%s, %s", what, p->name);
        check_nmse(text, p->grad, want, n, numeric_limit);
        guarded_free(want);
        guarded_free(before);
    }
}

static void check_layer(struct device *d, const char *what, struct layer *l, int ndim,
                        const int dim[], bool spread)
{
    struct rig r;
    char text[128];
    snprintf(text, sizeof(text), "%s on %s", what, d->kernels->name);
    rig_open(&r, d, l, ndim, dim, RUN_TRAIN, spread);
    check_input_gradient(&r, text);
    check_param_gradients(&r, text);
    rig_close(&r);
}

static void (*on_each)(struct device *d); /* for check_each_isa */

static void on_one(struct device *d, struct device *ref)
{
    on_each(d);
}

static void each_device(void (*fn)(struct device *d))
{
#ifndef EMULATED
    struct device *ref = check_device("reference", 1);
    fn(ref);
    device_close(ref);
#endif
    on_each = fn;
    check_each_isa(on_one, 2);
}

static void convolutions(struct device *d)
{
    static const int image[] = {2, 3, 5, 7}, few[] = {2, 3, 3, 4};
    check_layer(d, "conv2d 3x3", conv2d_new(3, 4, 3, 1, 1, true, INIT_VGG), 4, image, false);
    check_layer(d, "conv2d stride 2", conv2d_new(3, 2, 3, 2, 1, true, INIT_VGG), 4, image, false);
    check_layer(d, "conv2d 1x1", conv2d_new(3, 5, 1, 1, 0, false, INIT_VGG), 4, image, false);
    check_layer(d, "conv2d 5x5", conv2d_new(3, 2, 5, 1, 0, true, INIT_VGG), 4, image, false);
    check_layer(d, "conv_transpose2d", conv_transpose2d_new(3, 4, 3, 1, 1), 4, few, false);
    check_layer(d, "conv_transpose2d stride 2", conv_transpose2d_new(3, 2, 2, 2, 0), 4, few, false);
}

static void test_convolutions(void **state)
{
    each_device(convolutions);
}

static void others(struct device *d)
{
    static const int image[] = {2, 3, 5, 7}, flat[] = {3, 11}, one[] = {2, 5, 1, 1};
    check_layer(d, "linear", linear_new(11, 7, INIT_VGG), 2, flat, false);
    check_layer(d, "batchnorm", batchnorm_new(3, 0.1f, 1e-4f), 4, image, false);
    check_layer(d, "relu", activation_new(ACT_RELU), 2, flat, true);
    check_layer(d, "leaky", activation_new(ACT_LEAKY), 4, image, true);
    check_layer(d, "sigmoid", activation_new(ACT_SIGMOID), 4, image, false);
    check_layer(d, "maxpool 2x2", maxpool_new(2, 2, 0, 0), 4, image, true);
    check_layer(d, "maxpool 3x3, stride 1", maxpool_new(3, 1, 1, 1), 4, image, true);
    check_layer(d, "maxpool, padded after", maxpool_new(2, 1, 0, 1), 4, image, true);
    check_layer(d, "avgpool to 7x7", avgpool_new(7, 7), 4, one, false);
    check_layer(d, "avgpool to 2x3", avgpool_new(2, 3), 4, image, false);
    check_layer(d, "flatten", flatten_new(), 4, image, false);
    check_layer(d, "upsample", upsample_new(2), 4, image, false);
    check_layer(d, "upsample by 3", upsample_new(3), 4, image, false);
    check_layer(d, "route of one", route_new(), 4, image, false);
    check_layer(d, "dropout", dropout_new(0.4f), 4, image, false);
    check_layer(d, "dropout of nothing", dropout_new(0), 2, flat, false);
}

static void test_others(void **state)
{
    each_device(others);
}

static void check_fused(struct device *d, struct layer *l, enum run_mode run)
{
    static const int image[] = {2, 3, 5, 7}, flat[] = {3, 11};
    bool images = strcmp(l->ops->name, "linear") != 0;
    struct rig r;
    rig_open(&r, d, l, images ? 4 : 2, images ? image : flat, run, false);
    assert_true(l->ops->fuses_act(l, run));
    size_t n = tensor_count(&r.out);
    float *want = guarded_floats(n);
    for (enum act act = ACT_NONE + 1; act < ACT_COUNT; act++) {
        poison(want, n * sizeof(float));
        r.io.act = ACT_NONE;
        probe(&r);
        d->kernels->act_forward(d, want, r.out.data, n, act);
        r.io.act = act;
        probe(&r);
        check_same(l->ops->name, r.out.data, want, n * sizeof(float));
        for (size_t i = 0; i < n; i++)
            assert_true(isfinite(want[i]));
    }
    guarded_free(want);
    rig_close(&r);
}

static void fused(struct device *d)
{
    check_fused(d, conv2d_new(3, 4, 3, 1, 1, true, INIT_VGG), RUN_TRAIN);
    check_fused(d, conv2d_new(3, 4, 3, 2, 1, false, INIT_VGG), RUN_EVAL);
    check_fused(d, conv_transpose2d_new(3, 4, 3, 1, 1), RUN_TRAIN);
    check_fused(d, linear_new(11, 7, INIT_VGG), RUN_TRAIN);
    check_fused(d, batchnorm_new(3, 0.1f, 1e-4f), RUN_EVAL);
    struct layer *l = batchnorm_new(3, 0.1f, 1e-4f);
    assert_false(l->ops->fuses_act(l, RUN_TRAIN));
    layer_free(l);
}

static void test_fused(void **state)
{
    each_device(fused);
}

/* The mask of a sample depends on its number in the full batch, the step and the layer alone. */
static void dropout_keys(struct device *d)
{
    static const int all[] = {6, 33};
    struct rig whole, part;
    rig_open(&whole, d, dropout_new(0.5f), 2, all, RUN_TRAIN, false);
    probe(&whole);
    size_t n = tensor_count(&whole.out), kept = 0;
    for (size_t i = 0; i < n; i++) {
        float x = tensor_floats(&whole.in)[i], y = tensor_floats(&whole.out)[i];
        assert_true(y == 0 || y == 2 * x);
        kept += y != 0;
    }
    assert_in_range(kept, n / 3, 2 * n / 3);

    for (int first = 0; first < 6; first += 2) {
        static const int two[] = {2, 33};
        rig_open(&part, d, dropout_new(0.5f), 2, two, RUN_TRAIN, false);
        memcpy(part.in.data, tensor_floats(&whole.in) + first * 33, tensor_bytes(&part.in));
        part.io.first_sample = whole.io.first_sample + (uint64_t)first;
        probe(&part);
        check_same("dropout of a part", part.out.data, tensor_floats(&whole.out) + first * 33,
                   tensor_bytes(&part.out));
        rig_close(&part);
    }
    for (int other = 0; other < 3; other++) {
        rig_open(&part, d, dropout_new(0.5f), 2, all, RUN_TRAIN, false);
        part.io.step += other == 0;
        part.io.seed += other == 1;
        part.l->number += other == 2;
        probe(&part);
        assert_memory_not_equal(part.out.data, whole.out.data, tensor_bytes(&whole.out));
        rig_close(&part);
    }
    rig_close(&whole);
}

static void test_dropout_keys(void **state)
{
    each_device(dropout_keys);
}

/* Training moves the running statistics as PyTorch does; evaluation uses and leaves them. */
static void batchnorm_statistics(struct device *d)
{
    static const int image[] = {2, 1, 1, 3};
    static const float x[] = {1, 2, 3, 4, 5, 9};
    struct rig r;
    rig_open(&r, d, batchnorm_new(1, 0.25f, 1e-5f), 4, image, RUN_TRAIN, false);
    memcpy(r.in.data, x, sizeof(x));
    *r.param_data[2] = 8;
    *r.param_data[3] = 2;
    probe(&r);
    assert_float_equal(*r.param_data[2], 0.75 * 8 + 0.25 * 4, 1e-6);
    assert_float_equal(*r.param_data[3], 0.75 * 2 + 0.25 * 8, 1e-6); /* 40 / 5, unbiased */
    rig_close(&r);

    rig_open(&r, d, batchnorm_new(1, 0.25f, 1e-5f), 4, image, RUN_EVAL, false);
    memcpy(r.in.data, x, sizeof(x));
    *r.param_data[0] = 3;
    *r.param_data[1] = -1;
    *r.param_data[2] = 4;
    *r.param_data[3] = 4;
    probe(&r);
    for (int i = 0; i < 6; i++)
        assert_float_equal(tensor_floats(&r.out)[i], (x[i] - 4) / 2 * 3 - 1, 1e-4);
    assert_float_equal(*r.param_data[2], 4, 0);
    assert_float_equal(*r.param_data[3], 4, 0);
    rig_close(&r);
}

static void test_batchnorm_statistics(void **state)
{
    each_device(batchnorm_statistics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolutions),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_fused),
        cmocka_unit_test(test_dropout_keys),
        cmocka_unit_test(test_batchnorm_statistics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
