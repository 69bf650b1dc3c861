/*
 * Models from darknet .cfg files: what is read, what it becomes, what is refused and where the
 * sentence points; the built-in YOLOv3 and YOLOv3-tiny; every legal cut of YOLOv3 gives the same
 * bits as the whole.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"
#include "models/darknet.h"
#include "tests/chain.h"
#include "tests/refusal.h"
#include "tests/weights_fixture.h"

static char path[] = "/tmp/sparse-cfg-XXXXXX.cfg";

static int open_bytes(struct model **m, const void *text, size_t bytes)
{
    struct model_options opt = model_options_default();
    file_write(path, text, bytes);
    return model_open(m, path, &opt);
}

static int open_text(struct model **m, const char *text)
{
    return open_bytes(m, text, strlen(text));
}

/* A line of what a layer is, for comparing. */
static void assert_layer(const struct model *m, int i, const char *name, const char *what,
                         const char *shape)
{
    char text[256];
    assert_string_equal(m->layer[i]->ops->name, name);
    if (m->layer[i]->ops->describe)
        assert_string_equal(m->layer[i]->ops->describe(m->layer[i], text, sizeof(text)), what);
    assert_string_equal(tensor_shape_text(&m->plan[i].out, text, sizeof(text)), shape);
}

static const char every[] = "\xef\xbb\xbf# every section, written in odd ways\r\n"
                            "[net]\r\n width = 64\r\nheight=48 ; a comment\r\n\r\n"
                            "; batch=1\n"
                            "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\n"
                            "stride=2\npad=1\nactivation=leaky\n"
                            "\t[conv]\nfilters=4\npadding=2\nsize = 5\nactivation=relu\n"
                            "[conv]\nfilters=8\nactivation=linear\n[shortcut]\nfrom=-3\n"
                            "[maxpool]\nsize=2\nstride=2\n"
                            "[maxpool]\nsize=2\nstride=1\n"
                            "[max]\nsize=5\nstride=1\n"
                            "[upsample]\n"
                            "[route]\nlayers = -1, 0,\n"
                            "[route]\nlayers=4\n"
                            "[conv]\n"
                            "filters=14\nactivation=linear\n"
                            "[yolo]\nmask=1,2\nanchors= 1,2, 3.5,4,  5,6\nnum=3\nclasses=2\n"
                            "jitter=.3\nrandom=1\n"
                            "[route]\nlayers=8\n"
                            "[conv]\nfilters=7\nactivation=linear\n"
                            "[yolo]\nanchors=10,20\nclasses=2";

static void test_every_section(void **state)
{
    struct model *m;
    if (open_text(&m, every) < 0)
        fail_msg("%s", err_text());
    assert_int_equal(m->in.dim[1], 3);
    assert_int_equal(m->in.dim[2], 48);
    assert_int_equal(m->in.dim[3], 64);
    assert_int_equal(m->nlayer, 15);
    assert_layer(m, 0, "convolutional", "3 -> 8, 3x3, stride 2, pad 1, batch-norm, leaky",
                 "(1, 8, 24, 32)");
    assert_layer(m, 1, "convolutional", "8 -> 4, 5x5, stride 1, pad 2, relu", "(1, 4, 24, 32)");
    assert_layer(m, 2, "convolutional", "4 -> 8, 1x1, stride 1, pad 0, linear", "(1, 8, 24, 32)");
    assert_layer(m, 3, "shortcut", "2 + 0, linear", "(1, 8, 24, 32)");
    assert_layer(m, 4, "maxpool", "2x2, stride 2, pad 0 before, 1 after", "(1, 8, 12, 16)");
    assert_layer(m, 5, "maxpool", "2x2, stride 1, pad 0 before, 1 after", "(1, 8, 12, 16)");
    assert_layer(m, 6, "maxpool", "5x5, stride 1, pad 2", "(1, 8, 12, 16)");
    assert_layer(m, 7, "upsample", "by 2", "(1, 8, 24, 32)");
    assert_layer(m, 8, "route", "of 7 0", "(1, 16, 24, 32)");
    assert_layer(m, 9, "route", "of 4", "(1, 8, 12, 16)");
    assert_layer(m, 11, "yolo", "2 classes, anchors 3.5x4 5x6", "(1, 384, 7)");
    assert_layer(m, 14, "yolo", "2 classes, anchors 10x20", "(1, 1152, 7)");
    assert_int_equal(m->layer[14]->nin, 2);
    assert_int_equal(m->layer[14]->input[1], 11);
    assert_int_equal(m->boxes, 384 + 768);
    assert_int_equal(m->classes, 2);
    assert_string_equal(m->layer[0]->param[0].name, "module_list.0.conv_0.weight");
    assert_string_equal(m->layer[0]->param[3].name, "module_list.0.batch_norm_0.running_mean");
    assert_string_equal(m->layer[13]->param[1].name, "module_list.13.conv_13.bias");
    model_close(m);
}

/* The same from a text in memory, which need not end with a 0; its sentences have its name. */
static void test_in_memory(void **state)
{
    struct model_options opt = model_options_default();
    struct model *m, *file;
    char text[sizeof(every)];
    memcpy(text, every, sizeof(every) - 1);
    text[sizeof(every) - 1] = '9';
    assert_ok(open_text(&file, every));
    assert_ok(darknet_cfg_open_text(&m, file->name, text, sizeof(every) - 1, &opt));
    assert_string_equal(m->name, file->name);
    assert_int_equal(m->nlayer, file->nlayer);
    assert_true(model_hash(m) == model_hash(file));
    model_close(m);
    model_close(file);
    assert_refused(darknet_cfg_open_text(&m, "none", text, 40, &opt), EBADMSG, "none:1",
                   "begins with");
    assert_null(m);
}

/* darknet's defaults; no heads: the output is the last layer's. */
static void test_defaults(void **state)
{
    struct model *m;
    assert_int_equal(open_text(&m, "[network]\n[convolutional]\n[maxpool]\n[maxpool]\nstride=2\n"),
                     0);
    assert_int_equal(m->in.dim[2], 416);
    assert_layer(m, 0, "convolutional", "3 -> 1, 1x1, stride 1, pad 0, logistic",
                 "(1, 1, 416, 416)");
    assert_layer(m, 1, "maxpool", "1x1, stride 1, pad 0", "(1, 1, 416, 416)");
    assert_layer(m, 2, "maxpool", "2x2, stride 2, pad 0 before, 1 after", "(1, 1, 208, 208)");
    assert_int_equal(m->boxes, 0);
    assert_int_equal(m->classes, 1);
    assert_int_equal(m->default_cut, 0); /* behind the second max-pool there is nothing */
    model_close(m);
}

/* The text behind [net] with pictures of 32x32; line 1 is [net], so it begins at line 4. */
static void assert_bad(const char *text, const char *where, const char *a, const char *b)
{
    char whole[4096], line[32];
    struct model *m = NULL;
    snprintf(whole, sizeof(whole), "[net]\nwidth=32\nheight=32\n%s", text);
    snprintf(line, sizeof(line), ".cfg:%s:", where);
    assert_refused(open_text(&m, whole), EBADMSG, line, a, b);
    assert_null(m);
}

static void test_bad_sections(void **state)
{
    assert_bad("[reorg]\nstride=2\n", "4", "[reorg]", "not known");
    assert_bad("[conv]\nsize=3\n[net]\n", "6", "[net]", "not known");
    assert_bad("\n\n[conv\n", "6", "[conv", "section's name");
    assert_bad("[]\n", "4", "[]", "section's name");
    assert_bad("[conv]\nfilters\n", "5", "filters", "key=value");
    assert_bad("[conv]\n=3\n", "5", "=3", "key=value");
    assert_bad("", "1", "no layers", "[net]");
    struct model *m;
    assert_refused(open_text(&m, ""), EBADMSG, ".cfg:1:", "[net]");
    assert_refused(open_text(&m, "[convolutional]\n"), EBADMSG, ".cfg:1:", "[net]");
    assert_refused(open_text(&m, "#\nwidth=3\n[net]\n"), EBADMSG, ".cfg:2:", "before the first");
    assert_refused(open_bytes(&m, "[net]\n\0[conv]\n", 14), EBADMSG, "0 byte");
}

static void test_bad_values(void **state)
{
    assert_bad("[conv]\nfilters=abc\n", "5", "filters=abc", "from 1 to 65536");
    assert_bad("[conv]\nfilters=\n", "5", "filters=", "whole number");
    assert_bad("[conv]\nfilters=0\n", "5", "filters=0", "from 1");
    assert_bad("[conv]\nfilters=3.5\n", "5", "filters=3.5", "whole number");
    assert_bad("[conv]\nfilters=99999999999999999999\n", "5", "filters=9999", "from 1");
    assert_bad("[conv]\nsize=-3\n", "5", "size=-3", "from 1 to 31");
    assert_bad("[conv]\nstride=0\n", "5", "stride=0", "from 1");
    assert_bad("[conv]\nsize=3\nsize=3\n", "6", "a second time", "line 5");
    assert_bad("[conv]\nactivation=mish\n", "5", "activation=mish", "logistic");
    assert_bad("[conv]\ngroups=4\n", "5", "groups=4", "only 1");
    assert_bad("[conv]\nbatch_normalize=2\n", "5", "batch_normalize=2", "from 0 to 1");
    assert_bad("[maxpool]\nsize=17\n", "5", "size=17", "from 1 to 16");
    assert_bad("[maxpool]\nsize=2\npadding=3\n", "6", "padding=3", "from 0 to 2");
    assert_bad("[upsample]\nstride=-2\n", "5", "stride=-2", "from 1");
    assert_bad("[upsample]\nscale=2\n", "5", "scale=2", "only 1");
    assert_bad("[conv]\n[yolo]\nnum=1\nanchors=1,x\n", "7", "anchors=1,x", "numbers with commas");
    assert_bad("[conv]\n[yolo]\nnum=1\nanchors=1,nan\n", "7", "anchors=1,nan", "numbers");
    assert_bad("[conv]\n[yolo]\nanchors=1,2,3,4\n", "6", "anchors=", "at most 2");
    assert_bad("[conv]\n[yolo]\nnum=2\nanchors=1,2,3\n", "5", "4 numbers", "there are 3");
    assert_bad("[conv]\n[yolo]\nanchors=1,2\nmask=1\n", "5", "anchor 1", "0 to 0");
    assert_bad("[conv]\n[yolo]\nanchors=1,2\nscale_x_y=1.05\n", "7", "scale_x_y=1.05", "none");
    assert_bad("[conv]\nfilters=7\n[yolo]\nanchors=1,2\nclasses=3\n", "6", "8 channels",
               "(1, 7, 32, 32)");
}

static void test_bad_references(void **state)
{
    assert_bad("[route]\nlayers=-1\n", "5", "no layer before", "layers");
    assert_bad("[conv]\n[route]\nlayers=1\n", "6", "layer 1", "layers 0 to 0"); /* a loop */
    assert_bad("[conv]\n[route]\nlayers=7\n", "6", "layer 7", "-1 to -1");
    assert_bad("[conv]\n[route]\nlayers=-2\n", "6", "layer -2", "layers 0 to 0");
    assert_bad("[conv]\n[route]\nlayers=-2147483648\n", "6", "layer -2147483648", "0 to 0");
    assert_bad("[conv]\n[route]\n", "5", "layers=", "wants");
    assert_bad("[conv]\n[route]\nlayers=\n", "6", "layers=", "no value");
    assert_bad("[conv]\n[route]\nlayers=0,0,0,0,0,0,0,0,0\n", "6", "at most 8", "layers");
    assert_bad("[conv]\n[shortcut]\nfrom=1\n", "6", "layer 1", "from");
    assert_bad("[conv]\n[shortcut]\nactivation=linear\n", "5", "from=", "wants");
    assert_bad("[conv]\nfilters=2\n[conv]\n[shortcut]\nfrom=-2\n", "7", "(1, 1, 32, 32)",
               "(1, 2, 32, 32)");
    assert_bad("[conv]\n[maxpool]\nstride=2\n[route]\nlayers=0,1\n", "7", "32x32", "16x16");
    assert_bad("[conv]\nfilters=6\n[yolo]\nanchors=1,2\nclasses=1\n[route]\nlayers=0\n", "9",
               "ends with one", "[route]");
    assert_bad("[conv]\nfilters=6\n[yolo]\nanchors=1,2\nclasses=1\n[conv]\n", "9", "images",
               "(1, 1024, 6)");
}

static void test_absurd_sizes(void **state)
{
    struct model *m = NULL;
    assert_refused(open_text(&m, "[net]\nwidth=100000\n[conv]\n"), EBADMSG, ":2:", "width=100000");
    assert_refused(open_text(&m, "[net]\nheight=0\n[conv]\n"), EBADMSG, ":2:", "height=0");
    assert_refused(open_text(&m, "[net]\nwidth=8192\nheight=8192\nchannels=65536\n[conv]\n"),
                   EBADMSG, ":1:", "too large");
    assert_bad("[conv]\nfilters=65536\nsize=31\n[conv]\nfilters=65536\nsize=31\n", "7", "weights",
               "at most");
    assert_bad("[conv]\nfilters=65536\n[upsample]\nstride=64\n", "6", "upsample", "larger");
    assert_bad("[conv]\nsize=7\npadding=2\n[conv]\nsize=31\n", "7", "31x31 kernel", "larger");
    assert_bad("[conv]\nstride=31\n[conv]\nstride=31\n[conv]\nsize=3\n", "8", "3x3 kernel", "1x1");

    char *text = malloc(DARKNET_MAX_LAYERS * 8 + 100), *at = text + sprintf(text, "[net]\n");
    for (int i = 0; i <= DARKNET_MAX_LAYERS; i++)
        at += sprintf(at, "[conv]\n");
    assert_refused(open_text(&m, text), EBADMSG, ":1026:", "1024 layers");
    free(text);
    text = calloc(1, (2 << 20) + 1);
    memset(text, '#', 2 << 20);
    assert_refused(open_text(&m, text), EBADMSG, "2097152", "at most");
    free(text);
}

static void test_bad_files(void **state)
{
    struct model_options opt = model_options_default();
    struct model *m = NULL;
    assert_refused(model_open(&m, "/tmp/no/such.cfg", &opt), ENOENT, "/tmp/no/such.cfg");
    const char *folder = folder_new();
    char *as_folder = path_in(folder, "x.cfg");
    CHECK(mkdir(as_folder, 0700) == 0);
    assert_refused(model_open(&m, as_folder, &opt), EBADMSG, "x.cfg", "none");
    rmdir(as_folder);
    rmdir(folder);
    free(as_folder);
    opt.codec = 1;
    assert_refused(model_open(&m, path, &opt), EINVAL, "codec");
    assert_refused(model_open(&m, "yolov3", &opt), EINVAL, "codec");
    opt.codec = 0;
    opt.classes = 3;
    assert_int_equal(open_text(&m, every), 0);
    model_close(m);
    assert_refused(model_open(&m, path, &opt), EINVAL, "2 classes", "3");
}

static struct model *built_in(const char *name, int size, int classes)
{
    struct model_options opt = model_options_default();
    struct tensor in = tensor_f32(4, (int[]){1, 3, size, size});
    struct model *m;
    opt.classes = classes;
    bool tiny = !strcmp(name, "yolov3-tiny");
    if (model_begin(&m, name, &in) < 0 ||
        (tiny ? yolov3_tiny_build(m, &opt) : yolov3_build(m, &opt)) < 0 || model_finish(m) < 0)
        fail_msg("%s", err_text());
    return m;
}

static void test_built_in(void **state)
{
    struct model *m = built_in("yolov3", 416, 0);
    static const int cuts[] = {1, 2, 5, 6, 9, 12, 13, 16, 19, 22, 25, 28, 31, 34, 37};
    int ncut = 0;
    assert_int_equal(m->nlayer, 107);
    assert_int_equal(model_param_count(m, 0, 107), 61949149);
    for (int cut = 1; cut < 107; cut++)
        if (model_cut_legal(m, cut)) {
            assert_true(ncut < 15);
            assert_int_equal(cuts[ncut++], cut);
        }
    assert_int_equal(ncut, 15);
    assert_int_equal(m->default_cut, 5);
    struct tensor t = model_crossing(m, 5, 1);
    assert_int_equal(tensor_bytes(&t), 11075584);
    t = model_crossing(m, 107, 1);
    char text[64];
    assert_string_equal(tensor_shape_text(&t, text, sizeof(text)), "(1, 10647, 85)");
    assert_int_equal(m->boxes, 10647);
    assert_int_equal(m->classes, 80);
    /* 65.86 billion operations, as darknet itself counts */
    assert_float_equal(model_flops(m, 0, 107) / 1e9, 65.86, 0.05);
    assert_layer(m, 61, "shortcut", "60 + 58, linear", "(1, 512, 26, 26)");
    assert_layer(m, 86, "route", "of 85 61", "(1, 768, 26, 26)");
    assert_layer(m, 98, "route", "of 97 36", "(1, 384, 52, 52)");
    model_close(m);

    m = built_in("yolov3-tiny", 416, 0);
    assert_int_equal(m->nlayer, 24);
    assert_int_equal(model_param_count(m, 0, 24), 8852366);
    assert_int_equal(m->boxes, 2535);
    assert_int_equal(m->default_cut, 4);
    /* darknet: 5.56 billion */
    assert_float_equal(model_flops(m, 0, 24) / 1e9, 5.56, 0.02);
    assert_layer(m, 11, "maxpool", "2x2, stride 1, pad 0 before, 1 after", "(1, 512, 13, 13)");
    assert_layer(m, 20, "route", "of 19 8", "(1, 384, 26, 26)");
    model_close(m);
}

static struct model *tiny_small(void)
{
    return built_in("yolov3-tiny", 96, 2);
}

/* The whole, once with and once without shared memory, then every legal cut, and two of them. */
static void check_cuts(chain_build *build)
{
    struct device *d = check_device("auto", 2);
    struct chain_how how = {.run = RUN_EVAL, .batch = 2};
    struct chain *whole = chain_open(build, d, &how);
    const struct model *m = whole->model[0];
    size_t in = chain_crossing(m, 0, 2), out = chain_crossing(m, m->nlayer, 2);
    float *input = random_floats(in, 1, 0, 1);
    memcpy(whole->act[0][0], input, in * sizeof(float));
    chain_forward(whole, 0);
    for (size_t i = 0; i < out; i++)
        assert_true(isfinite(whole->act[1][0][i]));
    assert_true(nmse(whole->act[1][0], whole->act[1][0] + out / 2, out / 2) > 1e-12);

    int last = 0;
    for (int cut = 0; cut < m->nlayer; cut++) {
        if (cut > 0 && !model_cut_legal(m, cut))
            continue;
        struct chain_how parts = how;
        parts.naive = cut == 0;
        parts.ncut = (cut > 0) + (last > 0);
        parts.cut[0] = last ? last : cut;
        parts.cut[1] = cut;
        struct chain *c = chain_open(build, d, &parts);
        memcpy(c->act[0][0], input, in * sizeof(float));
        chain_forward(c, 0);
        char text[64];
        snprintf(text, sizeof(text), "cut at %d and %d", last, cut);
        check_same(text, c->act[c->npart][0], whole->act[1][0], out * sizeof(float));
        chain_close(c);
        last = cut;
    }
    guarded_free(input);
    chain_close(whole);
    device_close(d);
}

static void test_cuts_tiny(void **state)
{
    check_cuts(tiny_small);
}

/* YOLOv3 has 248 MB of weights: its cuts are for the release build, where they take seconds. */
#ifdef SANITIZED
#define YOLOV3_TESTS
#else
#define YOLOV3_TESTS cmocka_unit_test(test_cuts),

static struct model *yolov3_small(void)
{
    return built_in("yolov3", 96, 2);
}

static void test_cuts(void **state)
{
    check_cuts(yolov3_small);
}
#endif

static int make_path(void **state)
{
    int fd = mkstemps(path, 4);
    log_set_level(LOG_ERROR);
    return fd < 0 || close(fd);
}

static int remove_path(void **state)
{
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_section),
                                       cmocka_unit_test(test_defaults),
                                       cmocka_unit_test(test_bad_sections),
                                       cmocka_unit_test(test_bad_values),
                                       cmocka_unit_test(test_bad_references),
                                       cmocka_unit_test(test_absurd_sizes),
                                       cmocka_unit_test(test_bad_files),
                                       cmocka_unit_test(test_built_in),
                                       cmocka_unit_test(test_cuts_tiny),
                                       cmocka_unit_test(test_in_memory),
                                       YOLOV3_TESTS};
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
