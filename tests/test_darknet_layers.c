/*
 * The layers of darknet's models and their kernels: batch-norm folded into a convolution against
 * batch-norm behind it, decoded heads against the definition and the reference, sums and joins
 * against plain loops, with their gradients.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "layers/darknet.h"
#include "tests/check.h"
#include "tests/refusal.h"

static void fold(struct device *d, struct device *ref)
{
    static const struct {
        int k, window;
    } sizes[] = {{1, 1}, {5, 27}, {64, 9}, {3, 40000}, {70, 1152}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int k = sizes[i].k, window = sizes[i].window;
        size_t n = (size_t)k, all = n * (size_t)window;
        float *weight = random_floats(all, 1, -1, 1), *want = guarded_floats(all);
        float *bias = random_floats(n, 2, -1, 1), *want_bias = guarded_floats(n);
        float *gain = random_floats(n, 3, -2, 2), *mean = random_floats(n, 4, -1, 1);
        float *var = random_floats(n, 5, 0.01f, 3);
        memcpy(want, weight, all * sizeof(float));
        memcpy(want_bias, bias, n * sizeof(float));
        d->kernels->batchnorm_fold(d, weight, bias, gain, mean, var, k, window, i % 2 ? 1e-5f : 0,
                                   i % 2 ? 0 : 1e-3f);
        ref->kernels->batchnorm_fold(ref, want, want_bias, gain, mean, var, k, window,
                                     i % 2 ? 1e-5f : 0, i % 2 ? 0 : 1e-3f);
        /* one rounding of the factor, one of the product */
        check_nmse("weights", weight, want, all, 1e-14);
        check_nmse("bias", bias, want_bias, n, 1e-13);
        float *arrays[] = {weight, want, bias, want_bias, gain, mean, var};
        for (int j = 0; j < 7; j++)
            guarded_free(arrays[j]);
    }
}

static void test_fold(void **state)
{
    check_each_isa(fold, 3);
}

/* All lent arrays of one layer, and its parameters. */
struct rig {
    struct layer *l;
    struct tensor in[LAYER_MAX_IN], din[LAYER_MAX_IN], out, dout;
    struct layer_io io;
};

static void rig_open(struct rig *r, struct device *d, struct layer *l, int nin,
                     const struct tensor in[])
{
    struct layer_plan plan = {.nsaved = 0};
    *r = (struct rig){.l = l};
    CHECK(l);
    l->nin = nin;
    if (l->ops->plan(l, in, RUN_EVAL, &plan) < 0)
        fail_msg("%s", err_text());
    for (int i = 0; i < nin; i++) {
        r->in[i] = in[i];
        r->in[i].data = random_floats(tensor_count(&in[i]), 10 + (uint32_t)i, -2, 2);
        r->din[i] = in[i];
        r->din[i].data = guarded_floats(tensor_count(&in[i]));
        r->io.in[i] = &r->in[i];
        r->io.din[i] = &r->din[i];
        r->io.mode[i] = GRAD_SET;
    }
    for (int i = 0; i < l->nparam; i++)
        l->param[i].value.data =
            random_floats(tensor_count(&l->param[i].value), 30 + (uint32_t)i, 0.2f, 1.5f);
    r->out = r->dout = plan.out;
    r->out.data = guarded_floats(tensor_count(&plan.out));
    r->dout.data = random_floats(tensor_count(&plan.out), 40, -1, 1);
    r->io.out = &r->out;
    r->io.dout = &r->dout;
    r->io.work = guarded(l->ops->work_bytes ? l->ops->work_bytes(l, d, in, RUN_EVAL) : 0);
}

static void rig_close(struct rig *r)
{
    for (int i = 0; i < r->l->nin; i++) {
        guarded_free(r->in[i].data);
        guarded_free(r->din[i].data);
    }
    for (int i = 0; i < r->l->nparam; i++)
        guarded_free(r->l->param[i].value.data);
    guarded_free(r->out.data);
    guarded_free(r->dout.data);
    guarded_free(r->io.work);
    layer_free(r->l);
}

/* Folded: the same as the reference's convolution, batch-norm and activation one by one. */
static void check_conv(struct device *d, struct device *ref, const struct darknet_conv_dims *c,
                       enum weights_origin origin)
{
    struct tensor in = tensor_f32(4, (int[]){2, c->channels, 9, 7});
    struct rig r;
    rig_open(&r, d, darknet_conv_new(12, c), 1, &in);
    const struct param *p = r.l->param;
    struct conv2d_dims s = {
        .n = 2,
        .c = c->channels,
        .h = 9,
        .w = 7,
        .k = c->filters,
        .kh = c->size,
        .kw = c->size,
        .sh = c->stride,
        .sw = c->stride,
        .ph = c->pad,
        .pw = c->pad,
        .oh = r.out.dim[2],
        .ow = r.out.dim[3],
    };
    size_t n = tensor_count(&r.out);
    float *sum = guarded_floats(n), *want = guarded_floats(n);
    void *work = guarded(ref->kernels->conv2d_work(ref, &s, 0));
    const float *bias = c->batch_normalize ? NULL : p[1].value.data;
    ref->kernels->conv2d_forward(ref, sum, r.in[0].data, p[0].value.data, bias, &s, ACT_NONE, work);
    /* darknet's division as PyTorch's, by another variance: v + 1e-5 = (sqrt(u) + 1e-6)^2 */
    float *var = c->batch_normalize ? guarded_floats((size_t)c->filters) : NULL;
    for (int i = 0; var && i < c->filters; i++) {
        double root = sqrt((double)tensor_floats(&p[4].value)[i]) + 1e-6;
        var[i] =
            origin == ORIGIN_DARKNET ? (float)(root * root - 1e-5) : tensor_floats(&p[4].value)[i];
    }
    if (c->batch_normalize)
        ref->kernels->batchnorm_forward_eval(ref, want, sum, p[1].value.data, p[2].value.data,
                                             p[3].value.data, var, 2, c->filters, s.oh * s.ow,
                                             1e-5f, c->act);
    else
        ref->kernels->act_forward(ref, want, sum, n, c->act);
    r.l->ops->fold(r.l, d, origin);
    r.l->ops->forward(r.l, d, &r.io);
    check_nmse(c->batch_normalize ? "folded" : "with bias", r.out.data, want, n, 1e-12);
    if (var)
        guarded_free(var);
    guarded_free(sum);
    guarded_free(want);
    guarded_free(work);
    rig_close(&r);
}

static void convs(struct device *d, struct device *ref)
{
    check_conv(d, ref, &(struct darknet_conv_dims){3, 5, 3, 1, 1, true, ACT_LEAKY}, ORIGIN_PYTORCH);
    check_conv(d, ref, &(struct darknet_conv_dims){4, 6, 3, 2, 1, true, ACT_RELU}, ORIGIN_PYTORCH);
    check_conv(d, ref, &(struct darknet_conv_dims){7, 3, 1, 1, 0, true, ACT_SIGMOID},
               ORIGIN_PYTORCH);
    check_conv(d, ref, &(struct darknet_conv_dims){7, 3, 1, 1, 0, true, ACT_LEAKY}, ORIGIN_DARKNET);
    check_conv(d, ref, &(struct darknet_conv_dims){7, 3, 1, 1, 0, false, ACT_NONE}, ORIGIN_PYTORCH);
    check_conv(d, ref, &(struct darknet_conv_dims){2, 3, 5, 1, 2, false, ACT_LEAKY},
               ORIGIN_PYTORCH);
}

static void test_convolutional(void **state)
{
    check_each_isa(convs, 2);
    struct darknet_conv_dims c = {3, 5, 3, 1, 1, true, ACT_LEAKY};
    struct layer *l = darknet_conv_new(12, &c);
    assert_int_equal(l->nparam, 5);
    assert_string_equal(l->param[0].name, "conv_12.weight");
    assert_string_equal(l->param[1].name, "batch_norm_12.weight");
    assert_string_equal(l->param[4].name, "batch_norm_12.running_var");
    assert_true(l->param[3].state && l->param[4].state && !l->param[2].state);
    struct tensor in = tensor_f32(4, (int[]){1, 3, 8, 8});
    struct layer_plan plan = {.nsaved = 0};
    assert_refused(l->ops->plan(l, &in, RUN_TRAIN, &plan), EINVAL, "convolutional", "not trained");
    layer_free(l);
}

/* By hand: a variance of 1e-4 divides by sqrt(1.1e-4) in PyTorch, by 0.010001 in darknet. */
static void test_origins(void **state)
{
    const double factor[] = {[ORIGIN_PYTORCH] = 1 / sqrt(1.1e-4), [ORIGIN_DARKNET] = 1 / 0.010001};
    struct device *d = check_device("auto", 1);
    struct darknet_conv_dims c = {1, 1, 1, 1, 0, true, ACT_NONE};
    struct tensor in = tensor_f32(4, (int[]){1, 1, 1, 1});
    for (enum weights_origin o = ORIGIN_PYTORCH; o <= ORIGIN_DARKNET; o++) {
        struct rig r;
        rig_open(&r, d, darknet_conv_new(0, &c), 1, &in);
        static const float param[5] = {3, 2, 0.5f, 4, 1e-4f};
        for (int i = 0; i < 5; i++)
            *tensor_floats(&r.l->param[i].value) = param[i];
        *tensor_floats(&r.in[0]) = 1.5f;
        r.l->ops->fold(r.l, d, o);
        r.l->ops->forward(r.l, d, &r.io);
        assert_float_equal(*tensor_floats(&r.out), (1.5 * 3 - 4) * 2 * factor[o] + 0.5, 1e-3);
        rig_close(&r);
    }
    device_close(d);
}

/* Folding is what makes the result right: without it batch-norm would be missing. */
static void test_fold_is_needed(void **state)
{
    struct device *d = check_device("auto", 1);
    struct darknet_conv_dims c = {3, 5, 3, 1, 1, true, ACT_LEAKY};
    struct tensor in = tensor_f32(4, (int[]){1, 3, 8, 8});
    struct rig r;
    rig_open(&r, d, darknet_conv_new(0, &c), 1, &in);
    size_t n = tensor_count(&r.out);
    float *before = guarded_floats(n);
    r.l->ops->forward(r.l, d, &r.io);
    memcpy(before, r.out.data, n * sizeof(float));
    r.l->ops->fold(r.l, d, ORIGIN_PYTORCH);
    r.l->ops->forward(r.l, d, &r.io);
    assert_true(nmse(r.out.data, before, n) > 1e-3);
    guarded_free(before);
    rig_close(&r);
    device_close(d);
}

static void routes(struct device *d, struct device *ref)
{
    struct tensor in[3] = {tensor_f32(4, (int[]){2, 3, 4, 5}), tensor_f32(4, (int[]){2, 1, 4, 5}),
                           tensor_f32(4, (int[]){2, 6, 4, 5})};
    struct rig r;
    rig_open(&r, d, route_new(), 3, in);
    assert_int_equal(r.out.dim[1], 10);
    r.l->ops->forward(r.l, d, &r.io);
    r.l->ops->backward_data(r.l, d, &r.io);
    const float *out = r.out.data, *dout = r.dout.data;
    for (size_t n = 0; n < 2; n++)
        for (size_t c = 0, i = 0, first = 0; c < 10; c++) {
            if (c - first == (size_t)in[i].dim[1]) {
                first = c;
                i++;
            }
            size_t from = (n * (size_t)in[i].dim[1] + c - first) * 20, to = (n * 10 + c) * 20;
            check_same("route", out + to, tensor_floats(&r.in[i]) + from, 20 * sizeof(float));
            check_same("gradient", tensor_floats(&r.din[i]) + from, dout + to, 20 * sizeof(float));
        }
    r.io.mode[1] = GRAD_ADD;
    r.io.mode[2] = GRAD_NONE;
    float was = tensor_floats(&r.din[1])[7], other = tensor_floats(&r.din[2])[7];
    r.l->ops->backward_data(r.l, d, &r.io);
    assert_float_equal(tensor_floats(&r.din[1])[7], 2 * was, 0);
    assert_float_equal(tensor_floats(&r.din[2])[7], other, 0);
    rig_close(&r);
}

static void test_route(void **state)
{
    check_each_isa(routes, 2);
    struct layer *l = route_new();
    struct layer_plan plan = {.nsaved = 0};
    struct tensor in[2] = {tensor_f32(4, (int[]){1, 3, 4, 4}), tensor_f32(4, (int[]){1, 3, 8, 8})};
    l->nin = 2;
    assert_refused(l->ops->plan(l, in, RUN_EVAL, &plan), EINVAL, "route", "4x4", "8x8");
    layer_free(l);
}

static void shortcuts(struct device *d, struct device *ref)
{
    struct tensor in[2] = {tensor_f32(4, (int[]){2, 3, 4, 5}), tensor_f32(4, (int[]){2, 3, 4, 5})};
    for (enum act act = ACT_NONE; act < ACT_COUNT; act++) {
        struct rig r;
        rig_open(&r, d, shortcut_new(act), 2, in);
        size_t n = tensor_count(&r.out);
        float *want = guarded_floats(n);
        for (size_t i = 0; i < n; i++)
            want[i] = tensor_floats(&r.in[0])[i] + tensor_floats(&r.in[1])[i];
        d->kernels->act_forward(d, want, want, n, act);
        r.l->ops->forward(r.l, d, &r.io);
        check_same("shortcut", r.out.data, want, n * sizeof(float));
        if (act == ACT_NONE) {
            memcpy(r.din[1].data, r.in[1].data, n * sizeof(float));
            r.io.mode[1] = GRAD_ADD;
            r.l->ops->backward_data(r.l, d, &r.io);
            check_same("gradient", r.din[0].data, r.dout.data, n * sizeof(float));
            for (size_t i = 0; i < n; i++)
                assert_float_equal(tensor_floats(&r.din[1])[i],
                                   tensor_floats(&r.in[1])[i] + tensor_floats(&r.dout)[i], 0);
        }
        guarded_free(want);
        rig_close(&r);
    }
}

static void test_shortcut(void **state)
{
    check_each_isa(shortcuts, 2);
    struct layer *l = shortcut_new(ACT_LEAKY);
    struct layer_plan plan = {.nsaved = 0};
    struct tensor in[2] = {tensor_f32(4, (int[]){1, 3, 4, 4}), tensor_f32(4, (int[]){1, 2, 4, 4})};
    l->nin = 2;
    assert_refused(l->ops->plan(l, in, RUN_EVAL, &plan), EINVAL, "(1, 3, 4, 4)", "(1, 2, 4, 4)");
    assert_refused(l->ops->plan(l, (struct tensor[2]){in[0], in[0]}, RUN_TRAIN, &plan), EINVAL,
                   "not trained");
    layer_free(l);
}

/* Against the reference, with grids wider than what is worked on at once. */
static void decodes(struct device *d, struct device *ref)
{
    static const struct {
        int n, anchors, classes, h, w;
    } sizes[] = {{1, 3, 80, 13, 13}, {2, 1, 1, 1, 1}, {3, 2, 4, 5, 70}, {1, 3, 20, 3, 129}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct yolo_dims s = {
            .n = sizes[i].n,
            .anchors = sizes[i].anchors,
            .classes = sizes[i].classes,
            .h = sizes[i].h,
            .w = sizes[i].w,
            .stride_x = 32,
            .stride_y = 24.5f,
            .anchor = {{10, 13}, {16.5f, 30}, {33, 23}},
        };
        size_t row = 5 + (size_t)s.classes, boxes = (size_t)(s.anchors * s.h * s.w);
        size_t n = (size_t)s.n * boxes * row, stride = boxes * row + 11;
        float *inp = random_floats(n, 3, -9, 9);
        float *out = guarded_floats((size_t)s.n * stride), *want = guarded_floats(n);
        d->kernels->yolo_decode(d, out, stride, inp, &s);
        ref->kernels->yolo_decode(ref, want, boxes * row, inp, &s);
        for (size_t k = 0; k < (size_t)s.n; k++) {
            for (size_t v = 0; v < boxes * row; v++) {
                /* 2e-7 of the exponential and a few roundings */
                float w = want[k * boxes * row + v], g = out[k * stride + v];
                if (!(fabsf(g - w) <= 1e-6f * fabsf(w)))
                    fail_msg("value %zu of box %zu: got %.9g, want %.9g", v % row, v / row, g, w);
            }
            assert_true(isnan(out[k * stride + boxes * row + 3]));
        }
        guarded_free(inp);
        guarded_free(out);
        guarded_free(want);
    }
}

static void test_decode(void **state)
{
    check_each_isa(decodes, 3);
}

/* One cell by hand: 416 pixels, a grid of 13, the cell in column 4, row 2. */
static void test_decode_by_hand(void **state)
{
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        struct device *d = check_device(*isa, 1);
        struct yolo_dims s = {.n = 1,
                              .anchors = 1,
                              .classes = 1,
                              .h = 13,
                              .w = 13,
                              .stride_x = 32,
                              .stride_y = 32,
                              .anchor = {{116, 90}}};
        float *inp = guarded_floats(6 * 169), *out = guarded_floats(6 * 169);
        static const float t[6] = {0, 1, 0.5f, -1, 2, -3};
        for (int c = 0; c < 6; c++)
            for (int i = 0; i < 169; i++)
                inp[c * 169 + i] = t[c];
        d->kernels->yolo_decode(d, out, 6 * 169, inp, &s);
        static const double want[6] = {144, 87.393874, 191.251667, 33.109150, 0.880797, 0.047426};
        for (int c = 0; c < 6; c++)
            assert_float_equal(out[(2 * 13 + 4) * 6 + c], want[c], 1e-4);
        guarded_free(inp);
        guarded_free(out);
        device_close(d);
    }
}

/* The last head puts the others' boxes first. */
static void heads(struct device *d, struct device *ref)
{
    static const float anchor[2][2] = {{10, 14}, {23, 27}};
    struct tensor in[3] = {tensor_f32(4, (int[]){2, 14, 3, 4}), tensor_f32(3, (int[]){2, 5, 7}),
                           tensor_f32(3, (int[]){2, 8, 7})};
    struct rig r;
    rig_open(&r, d, yolo_new(64, 48, 2, 2, anchor), 3, in);
    assert_int_equal(r.out.ndim, 3);
    assert_int_equal(r.out.dim[1], 5 + 8 + 2 * 12);
    assert_int_equal(r.out.dim[2], 7);
    r.l->ops->forward(r.l, d, &r.io);
    struct yolo_dims s = {.n = 2,
                          .anchors = 2,
                          .classes = 2,
                          .h = 3,
                          .w = 4,
                          .stride_x = 16,
                          .stride_y = 16,
                          .anchor = {{10, 14}, {23, 27}}};
    float *own = guarded_floats(2 * 24 * 7);
    d->kernels->yolo_decode(d, own, 24 * 7, r.in[0].data, &s);
    for (size_t n = 0; n < 2; n++) {
        const float *out = (const float *)r.out.data + n * 37 * 7;
        check_same("first", out, tensor_floats(&r.in[1]) + n * 35, 35 * sizeof(float));
        check_same("second", out + 35, tensor_floats(&r.in[2]) + n * 56, 56 * sizeof(float));
        check_same("own", out + 91, own + n * 168, 168 * sizeof(float));
    }
    guarded_free(own);
    rig_close(&r);
}

static void test_heads(void **state)
{
    check_each_isa(heads, 2);
    static const float anchor[1][2] = {{10, 14}};
    struct layer *l = yolo_new(64, 48, 3, 1, anchor);
    struct layer_plan plan = {.nsaved = 0};
    struct tensor in[2] = {tensor_f32(4, (int[]){1, 7, 2, 2}), tensor_f32(3, (int[]){1, 8, 7})};
    assert_refused(l->ops->plan(l, in, RUN_EVAL, &plan), EINVAL, "8 channels", "(1, 7, 2, 2)");
    in[0].dim[1] = 8;
    l->nin = 2;
    assert_refused(l->ops->plan(l, in, RUN_EVAL, &plan), EINVAL, "3 classes", "must agree");
    layer_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold),    cmocka_unit_test(test_convolutional),
        cmocka_unit_test(test_origins), cmocka_unit_test(test_fold_is_needed),
        cmocka_unit_test(test_route),   cmocka_unit_test(test_shortcut),
        cmocka_unit_test(test_decode),  cmocka_unit_test(test_decode_by_hand),
        cmocka_unit_test(test_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
