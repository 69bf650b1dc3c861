/*
 * What a model is without a device: parameters, shapes, names, bytes across cuts, legal cuts, and
 * the sentences of what is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/refusal.h"
#include "tests/sum_layer.h"

static struct model *open_model(const char *name, int codec)
{
    struct model_options opt = model_options_default();
    struct model *m;
    opt.codec = codec;
    assert_ok(model_open(&m, name, &opt));
    return m;
}

static size_t crossing_bytes(const struct model *m, int cut, int n)
{
    struct tensor t = model_crossing(m, cut, n);
    return tensor_bytes(&t);
}

/* Counts as torchvision has them for vgg11, vgg16, vgg19 with 1000 classes. */
static void test_counts(void **state)
{
    static const struct {
        const char *name;
        int nlayer, cut;
        size_t params, crosses;
    } want[] = {
        {"small", 6, 3, 535818, 131072},
        {"vgg11", 30, 6, 132863336, 2097152},
        {"vgg16", 40, 10, 138357544, 2097152},
        {"vgg19", 46, 10, 143667240, 2097152},
        {"yolov3", 107, 5, 61949149, (size_t)64 * 11075584},
        {"yolov3-tiny", 24, 4, 8852366, (size_t)64 * 1384448},
        {"shapes-yolo", 19, 4, 121754, (size_t)64 * 51200},
    };
    for (int i = 0; i < 7; i++) {
        struct model *m = open_model(want[i].name, 0);
        assert_string_equal(m->name, model_names()[i]);
        assert_int_equal(m->nlayer, want[i].nlayer);
        assert_int_equal(m->default_cut, want[i].cut);
        assert_int_equal(model_param_count(m, 0, m->nlayer), want[i].params);
        assert_int_equal(model_param_count(m, 0, m->default_cut) +
                             model_param_count(m, m->default_cut, m->nlayer),
                         want[i].params);
        assert_int_equal(crossing_bytes(m, m->default_cut, 64), want[i].crosses);
        assert_int_equal(m->from, 0);
        assert_int_equal(m->to, m->nlayer);
        model_close(m);
    }
    assert_null(model_names()[7]);
}

static void test_codec(void **state)
{
    struct model *m = open_model("vgg11", 1);
    assert_int_equal(m->nlayer, 35);
    assert_int_equal(m->default_cut, 9);
    assert_int_equal(model_param_count(m, 0, 9), 223488);
    assert_int_equal(model_param_count(m, 9, 35), 132935272);
    assert_int_equal(crossing_bytes(m, 9, 64), 2097152);
    assert_string_equal(m->layer[6]->param[0].name, "encoder.0.weight");
    assert_string_equal(m->layer[7]->param[3].name, "encoder.1.running_var");
    assert_true(m->layer[7]->param[3].state);
    assert_string_equal(m->layer[9]->param[1].name, "decoder.0.bias");
    assert_string_equal(m->layer[11]->param[0].name, "features.6.weight");
    for (int cut = 1; cut < m->nlayer; cut++)
        assert_true(model_cut_legal(m, cut));
    model_close(m);

    m = open_model("vgg11", 4);
    assert_int_equal(crossing_bytes(m, 9, 64), 524288);
    assert_int_equal(model_param_count(m, 0, 9), 1792 + 73856 + (128 * 9 + 1) * 32 + 2 * 32);
    model_close(m);
}

static void test_names(void **state)
{
    static const char *const vgg11[] = {
        "features.0.weight",   "features.0.bias",   "features.3.weight",   "features.3.bias",
        "features.6.weight",   "features.6.bias",   "features.8.weight",   "features.8.bias",
        "features.11.weight",  "features.11.bias",  "features.13.weight",  "features.13.bias",
        "features.16.weight",  "features.16.bias",  "features.18.weight",  "features.18.bias",
        "classifier.0.weight", "classifier.0.bias", "classifier.3.weight", "classifier.3.bias",
        "classifier.6.weight", "classifier.6.bias",
    };
    static const char *const small[] = {
        "linear_relu_stack.0.weight", "linear_relu_stack.0.bias",   "linear_relu_stack.2.weight",
        "linear_relu_stack.2.bias",   "linear_relu_stack.4.weight", "linear_relu_stack.4.bias",
    };
    for (int which = 0; which < 2; which++) {
        struct model *m = open_model(which ? "small" : "vgg11", 0);
        int seen = 0;
        for (int i = 0; i < m->nlayer; i++)
            for (int j = 0; j < m->layer[i]->nparam; j++, seen++)
                assert_string_equal(m->layer[i]->param[j].name, which ? small[seen] : vgg11[seen]);
        assert_int_equal(seen, which ? 6 : 22);
        model_close(m);
    }
}

static void assert_enters(const struct model *m, int number, const char *want)
{
    char text[64];
    struct tensor t = model_crossing(m, number, 64);
    assert_string_equal(tensor_shape_text(&t, text, sizeof(text)), want);
}

static void test_shapes(void **state)
{
    struct model *m = open_model("vgg11", 0);
    assert_enters(m, 0, "(64, 3, 32, 32)");
    assert_enters(m, 1, "(64, 64, 32, 32)");
    assert_enters(m, 3, "(64, 64, 16, 16)");
    assert_enters(m, 6, "(64, 128, 8, 8)");
    assert_enters(m, 21, "(64, 512, 1, 1)");
    assert_enters(m, 22, "(64, 512, 7, 7)");
    assert_enters(m, 23, "(64, 25088)");
    assert_enters(m, 29, "(64, 4096)");
    assert_enters(m, 30, "(64, 1000)");
    assert_string_equal(m->layer[21]->ops->name, "avgpool");
    assert_string_equal(m->layer[25]->ops->name, "dropout");
    assert_string_equal(m->layer[29]->ops->name, "linear");
    /* convolutions 306 MFLOP, linear layers 247: the rest is below one percent */
    assert_float_equal(model_flops(m, 0, 21) / 1e6, 306, 3);
    assert_float_equal(model_flops(m, 21, 30) / 1e6, 247, 1);
    model_close(m);

    m = open_model("small", 0);
    assert_enters(m, 0, "(64, 1, 28, 28)");
    assert_enters(m, 1, "(64, 784)");
    assert_enters(m, 6, "(64, 10)");
    assert_float_equal(model_flops(m, 0, 6), 2 * (784 * 512 + 512 * 256 + 256 * 10) + 768, 0.5);
    model_close(m);

    struct model_options opt = model_options_default();
    opt.classes = 7;
    assert_ok(model_open(&m, "vgg11", &opt));
    assert_int_equal(m->classes, 7);
    assert_enters(m, 30, "(64, 7)");
    model_close(m);
}

static void test_cuts(void **state)
{
    for (int i = 0; model_names()[i]; i++) {
        struct model *m = open_model(model_names()[i], 0);
        if (m->boxes) { /* darknet's: test_darknet_cfg.c */
            model_close(m);
            continue;
        }
        for (int cut = 1; cut < m->nlayer; cut++)
            assert_true(model_cut_legal(m, cut));
        assert_false(model_cut_legal(m, 0));
        assert_false(model_cut_legal(m, m->nlayer));
        assert_ok(model_slice(m, 1, 2));
        assert_ok(model_slice(m, 0, m->nlayer));
        model_close(m);
    }
    /* layers 1, 3 and 6 are read twice: a cut between their readers would let two tensors cross */
    struct model *m = residual_model(2, 3, ACT_RELU);
    static const bool legal[] = {false, true, true,  false, true, false,
                                 true,  true, false, true,  true, false};
    for (int cut = 0; cut <= m->nlayer; cut++)
        assert_int_equal(model_cut_legal(m, cut), legal[cut]);
    assert_int_equal(model_producer(m, 0), -1);
    assert_int_equal(model_producer(m, 4), 3);
    assert_refused(model_slice(m, 0, 5), EINVAL, "0:5", "before layer 5", "1, 2, 4, 6, 7, 9, 10");
    assert_refused(model_slice(m, 3, 9), EINVAL, "3:9", "before layer 3");
    assert_ok(model_slice(m, 2, 4));
    assert_int_equal(m->from, 2);
    assert_int_equal(m->to, 4);
    model_close(m);
}

static void test_hash(void **state)
{
    struct model *a = open_model("vgg11", 0), *b = open_model("vgg11", 0);
    assert_ok(model_slice(b, 3, 9));
    assert_true(model_hash(a) == model_hash(b));
    model_close(b);

    uint64_t seen[8];
    int nseen = 0;
    seen[nseen++] = model_hash(a);
    struct model_options opt[] = {{.dropout = 0.25f},
                                  {.dropout = 0.5f, .classes = 10},
                                  {.dropout = 0.5f, .codec = 1},
                                  {.dropout = 0.5f, .codec = 2}};
    for (int i = 0; i < 4; i++) {
        assert_ok(model_open(&b, "vgg11", &opt[i]));
        seen[nseen++] = model_hash(b);
        model_close(b);
    }
    b = open_model("vgg16", 0);
    seen[nseen++] = model_hash(b);
    model_close(b);
    for (int i = 0; i < nseen; i++)
        for (int j = 0; j < i; j++)
            assert_true(seen[i] != seen[j]);
    model_close(a);
}

static void test_refusals(void **state)
{
    struct model_options opt = model_options_default();
    struct model *m;
    assert_refused(model_open(&m, "vgg12", &opt), EINVAL, "vgg12", "small, vgg11, vgg16, vgg19");
    assert_refused(model_open(&m, "", &opt), EINVAL, "small");
    opt.codec = 1;
    assert_refused(model_open(&m, "small", &opt), EINVAL, "small", "codec", "convolutions");
    opt.codec = 3;
    assert_refused(model_open(&m, "vgg11", &opt), EINVAL, "conv:3", "128");
    opt.codec = -1;
    assert_refused(model_open(&m, "vgg11", &opt), EINVAL, "codec", "-1");
    opt = model_options_default();
    opt.dropout = 1;
    assert_refused(model_open(&m, "vgg11", &opt), EINVAL, "dropout", "below 1");
    opt.dropout = -0.5f;
    assert_refused(model_open(&m, "vgg11", &opt), EINVAL, "dropout", "-0.5");
    opt = model_options_default();
    opt.classes = -2;
    assert_refused(model_open(&m, "vgg11", &opt), EINVAL, "classes", "-2");

    m = open_model("vgg11", 0);
    assert_refused(model_slice(m, 6, 40), EINVAL, "6:40", "vgg11", "0 to 29", "30");
    assert_refused(model_slice(m, 6, 6), EINVAL, "6:6");
    assert_refused(model_slice(m, -1, 6), EINVAL, "-1:6");
    assert_int_equal(m->from, 0);
    assert_int_equal(m->to, 30);
    model_close(m);
}

/* A layer that gets a shape it cannot take. */
static void assert_misfit(struct layer *l, int ndim, const int dim[], const char *a, const char *b)
{
    struct tensor in = tensor_f32(ndim, dim);
    struct model *m;
    assert_ok(model_begin(&m, "odd", &in));
    assert_ok(model_add(m, l, "x"));
    assert_refused(model_finish(m), EINVAL, "model odd", "layer 0", a, b);
    model_close(m);
}

static void test_misfits(void **state)
{
    static const int image[] = {1, 3, 5, 5}, flat[] = {1, 75}, tiny[] = {1, 3, 1, 1};
    assert_misfit(linear_new(75, 2, INIT_VGG), 4, image, "linear", "(1, 3, 5, 5)");
    assert_misfit(linear_new(74, 2, INIT_VGG), 2, flat, "(N, 74)", "(1, 75)");
    assert_misfit(conv2d_new(3, 4, 3, 1, 1, true, INIT_VGG), 2, flat, "conv2d", "images");
    assert_misfit(conv2d_new(4, 4, 3, 1, 1, true, INIT_VGG), 4, image, "4 channels",
                  "(1, 3, 5, 5)");
    assert_misfit(conv2d_new(3, 4, 7, 1, 0, true, INIT_VGG), 4, image, "7x7 kernel", "5x5");
    assert_misfit(conv_transpose2d_new(3, 4, 3, 1, 3), 4, tiny, "conv_transpose2d",
                  "nothing is left");
    assert_misfit(batchnorm_new(2, 0.1f, 1e-5f), 4, image, "batchnorm", "2 channels");
    assert_misfit(maxpool_new(2, 2, 0, 0), 4, tiny, "maxpool", "2x2 window");
    assert_misfit(maxpool_new(2, 2, 0, 0), 2, flat, "maxpool", "images");
    assert_misfit(avgpool_new(7, 7), 2, flat, "avgpool", "images");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),   cmocka_unit_test(test_codec),
        cmocka_unit_test(test_names),    cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_cuts),     cmocka_unit_test(test_hash),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_misfits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
