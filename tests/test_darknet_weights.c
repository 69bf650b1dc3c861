/*
 * darknet's .weights: the bytes as darknet lays them out, both widths of the header, files of the
 * first layers, slices, and every way in which a size can be wrong. The way through .safetensors
 * and back changes no byte.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "models/darknet_weights.h"
#include "models/pass.h"
#include "models/weights.h"
#include "tests/check.h"
#include "tests/refusal.h"
#include "tests/weights_fixture.h"

static const char cfg[] = "[net]\nwidth=8\nheight=8\nchannels=2\n"
                          "[conv]\nbatch_normalize=1\nfilters=3\nsize=3\npad=1\nactivation=leaky\n"
                          "[maxpool]\nstride=2\n"
                          "[conv]\nfilters=2\nactivation=linear\n"
                          "[conv]\nbatch_normalize=1\nfilters=2\nactivation=relu\n";
/* floats of the layers: bias, scale, mean, variance, kernel; bias, kernel; as the first */
enum { FIRST = 4 * 3 + 3 * 2 * 9, SECOND = 2 + 2 * 3, THIRD = 4 * 2 + 2 * 2 };
enum { FLOATS = FIRST + SECOND + THIRD, HEADER = 20, OLD_HEADER = 16 };

static struct device *dev;
static char *folder;

static char *in_folder(const char *name)
{
    static char path[8][256];
    static int next;
    char *p = path[next++ % 8];
    snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
    return p;
}

static struct model *opened(int from, int to)
{
    struct model_options opt = model_options_default();
    struct model *m;
    file_write(in_folder("net.cfg"), cfg, strlen(cfg));
    if (model_open(&m, in_folder("net.cfg"), &opt) < 0 || model_slice(m, from, to) < 0 ||
        model_bind(m, dev, RUN_EVAL, MODEL_GRADS_NONE) < 0)
        fail_msg("%s", err_text());
    return m;
}

/* A file whose float i is i + 1, behind a header of this version. */
static void write_file(const char *path, const int32_t version[3], size_t header, size_t floats,
                       size_t extra)
{
    char bytes[HEADER + (FLOATS + 4) * sizeof(float)] = {0};
    memcpy(bytes, version, 12);
    memset(bytes + 12, 0x7f, header - 12); /* seen: not to be mistaken for a float */
    for (size_t i = 0; i < floats; i++) {
        float v = (float)(i + 1);
        memcpy(bytes + header + i * sizeof(float), &v, sizeof(v));
    }
    file_write(path, bytes, header + floats * sizeof(float) + extra);
}

static const int32_t new_version[3] = {0, 2, 0}, old_version[3] = {0, 1, 0};

/* n floats that count up from `first`. */
static void assert_counts(const struct param *p, size_t first, size_t n)
{
    assert_int_equal(tensor_count(&p->value), n);
    for (size_t i = 0; i < n; i++)
        if (tensor_floats(&p->value)[i] != (float)(first + i))
            fail_msg("%s[%zu] is %g, %zu was wanted", p->name, i,
                     (double)tensor_floats(&p->value)[i], first + i);
}

static void assert_layers(const struct model *m, int from, int to)
{
    const struct param *p = m->layer[0]->param;
    if (from <= 0 && to > 0) {
        assert_counts(&p[2], 1, 3);  /* bias */
        assert_counts(&p[1], 4, 3);  /* scale */
        assert_counts(&p[3], 7, 3);  /* mean */
        assert_counts(&p[4], 10, 3); /* variance */
        assert_counts(&p[0], 13, 54);
    }
    p = m->layer[2]->param;
    if (from <= 2 && to > 2) {
        assert_counts(&p[1], FIRST + 1, 2);
        assert_counts(&p[0], FIRST + 3, 6);
    }
    p = m->layer[3]->param;
    if (from <= 3 && to > 3) {
        assert_counts(&p[2], FIRST + SECOND + 1, 2);
        assert_counts(&p[1], FIRST + SECOND + 3, 2);
        assert_counts(&p[4], FIRST + SECOND + 7, 2);
        assert_counts(&p[0], FIRST + SECOND + 9, 4);
    }
}

static void test_layout(void **state)
{
    static const int slices[][2] = {{0, 4}, {0, 1}, {0, 2}, {1, 4}, {2, 3}, {3, 4}, {0, 3}};
    write_file(in_folder("a.weights"), new_version, HEADER, FLOATS, 0);
    write_file(in_folder("old.weights"), old_version, OLD_HEADER, FLOATS, 0);
    for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]); i++)
        for (int old = 0; old < 2; old++) {
            struct model *m = opened(slices[i][0], slices[i][1]);
            assert_int_equal(weights_load(m, in_folder(old ? "old.weights" : "a.weights")), 0);
            assert_layers(m, m->from, m->to);
            model_close(m);
        }
}

/* The same from memory, at an odd address; one byte less or more is refused. */
static void test_in_memory(void **state)
{
    static char bytes[1 + HEADER + FLOATS * sizeof(float) + 1];
    write_file(in_folder("a.weights"), new_version, HEADER, FLOATS, 0);
    FILE *f = fopen(in_folder("a.weights"), "r");
    size_t n = fread(bytes + 1, 1, sizeof(bytes) - 1, f);
    fclose(f);
    assert_int_equal(n, HEADER + FLOATS * sizeof(float));
    struct model *m = opened(0, 4), *part = opened(2, 3);
    assert_ok(darknet_weights_load_bytes(m, "here", bytes + 1, n));
    assert_layers(m, 0, 4);
    assert_ok(darknet_weights_load_bytes(part, "here", bytes + 1, n));
    assert_layers(part, 2, 3);
    assert_refused(darknet_weights_load_bytes(m, "here", bytes + 1, n - 1), EINVAL, "here",
                   "fewer");
    assert_refused(darknet_weights_load_bytes(m, "here", bytes + 1, n + 1), EINVAL, "here", "more");
    assert_refused(darknet_weights_load_bytes(m, "here", bytes + 1, 7), EINVAL, "here",
                   "cut short");
    assert_refused(darknet_weights_load_bytes(m, "here", bytes + 1, HEADER - 1), EINVAL, "here",
                   "cut short");
    model_close(m);
    model_close(part);
}

static void test_versions(void **state)
{
    static const struct {
        int32_t version[3];
        size_t header;
    } v[] = {{{0, 2, 5}, HEADER},
             {{1, 0, 0}, HEADER},
             {{0, 0, 0}, OLD_HEADER},
             {{0, 1, 9}, OLD_HEADER},
             {{1001, 2, 0}, OLD_HEADER},
             {{0, 1000, 0}, OLD_HEADER},
             {{2147483647, 2147483647, 0}, OLD_HEADER}};
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct model *m = opened(0, 4);
        write_file(in_folder("v.weights"), v[i].version, v[i].header, FLOATS, 0);
        if (weights_load(m, in_folder("v.weights")) < 0)
            fail_msg("version %d.%d: %s", v[i].version[0], v[i].version[1], err_text());
        assert_layers(m, 0, 4);
        model_close(m);
    }
}

static void test_round_trip(void **state)
{
    size_t n, other;
    struct model *m = opened(0, 4);
    model_init(m, 5);
    assert_int_equal(weights_save(m, in_folder("b.weights")), 0);
    assert_int_equal(weights_save(m, in_folder("b.safetensors")), 0);
    model_init(m, 6);
    assert_int_equal(weights_load(m, in_folder("b.safetensors")), 0);
    assert_int_equal(weights_save(m, in_folder("c.weights")), 0);
    assert_int_equal(weights_load(m, in_folder("c.weights")), 0);
    assert_int_equal(weights_save(m, in_folder("c.safetensors")), 0);
    char *b = file_read(in_folder("b.weights"), &n), *c = file_read(in_folder("c.weights"), &other);
    assert_int_equal(n, HEADER + FLOATS * sizeof(float));
    assert_int_equal(other, n);
    assert_memory_equal(b, c, n);
    static const char header[HEADER] = {0, 0, 0, 0, 2};
    assert_memory_equal(b, header, HEADER);
    free(b);
    free(c);
    b = file_read(in_folder("b.safetensors"), &n);
    c = file_read(in_folder("c.safetensors"), &other);
    assert_true(other > n); /* c says that its weights came from darknet's file */
    assert_memory_equal(b + n - FLOATS * sizeof(float), c + other - FLOATS * sizeof(float),
                        FLOATS * sizeof(float));
    free(b);
    free(c);
    model_close(m);
}

/* Files of the first layers: what is behind them stays. */
static void test_cutoff(void **state)
{
    assert_int_equal(weights_cutoff("darknet53.conv.74"), 74);
    assert_int_equal(weights_cutoff("a.conv.3/b.conv.x.conv.15"), 15);
    assert_int_equal(weights_cutoff("darknet53.conv.74/yolov3.weights"), 0);
    assert_int_equal(weights_cutoff("a.conv.0"), 0);
    assert_int_equal(weights_cutoff("a.conv.-3"), 0);
    assert_int_equal(weights_cutoff("a.conv.7b"), 0);
    assert_int_equal(weights_cutoff("a.conv.99999999999999999999"), 0);

    struct model *m = opened(0, 4);
    model_init(m, 5);
    float kept[4];
    memcpy(kept, m->layer[3]->param[0].value.data, sizeof(kept));
    write_file(in_folder("x.conv.3"), new_version, HEADER, FIRST + SECOND, 0);
    assert_int_equal(weights_load(m, in_folder("x.conv.3")), 0);
    assert_layers(m, 0, 3);
    assert_memory_equal(kept, m->layer[3]->param[0].value.data, sizeof(kept));
    /* written the same */
    assert_int_equal(weights_save(m, in_folder("y.conv.3")), 0);
    size_t n;
    char *bytes = file_read(in_folder("y.conv.3"), &n);
    assert_int_equal(n, HEADER + (FIRST + SECOND) * sizeof(float));
    free(bytes);
    assert_refused(weights_load(m, in_folder("y.conv.5")), EINVAL, "first 5 layers", "4");
    /* a slice behind it keeps all */
    struct model *last = opened(3, 4);
    assert_int_equal(weights_load(last, in_folder("x.conv.3")), 0);
    assert_refused(weights_save(last, in_folder("z.weights")), EINVAL, "0:4", "3:4", "safetensors");
    model_close(last);
    struct model *first = opened(0, 3);
    assert_int_equal(weights_load(first, in_folder("x.conv.3")), 0);
    assert_int_equal(weights_save(first, in_folder("z.conv.3")), 0);
    assert_refused(weights_save(first, in_folder("z.weights")), EINVAL, "0:4", "0:3");
    model_close(first);
    model_close(m);
}

static void test_wrong_sizes(void **state)
{
    struct model *m = opened(0, 4);
    const char *path = in_folder("bad.weights");
    write_file(path, new_version, HEADER, FLOATS - 1, 0);
    assert_refused(weights_load(m, path), EINVAL, "bad.weights", "fewer", "another model");
    write_file(path, new_version, HEADER, FLOATS, 1);
    assert_refused(weights_load(m, path), EINVAL, "bad.weights", "more");
    write_file(path, new_version, HEADER, FLOATS + 1, 0);
    assert_refused(weights_load(m, path), EINVAL, "more");
    /* the width of the header is the version's, not whatever fits */
    write_file(path, old_version, HEADER, FLOATS, 0);
    assert_refused(weights_load(m, path), EINVAL, "more");
    write_file(path, new_version, OLD_HEADER, FLOATS, 0);
    assert_refused(weights_load(m, path), EINVAL, "fewer");
    write_file(path, new_version, HEADER, FIRST + SECOND, 0);
    assert_refused(weights_load(m, path), EINVAL, "first 3 layers", "*.conv.3");
    write_file(path, new_version, HEADER, 0, 0);
    assert_refused(weights_load(m, path), EINVAL, "0 bytes", "fewer");
    file_write(path, new_version, 12);
    assert_refused(weights_load(m, path), EINVAL, "cut short", "header");
    file_write(path, new_version, 5);
    assert_refused(weights_load(m, path), EINVAL, "cut short");
    file_write(path, "", 0);
    assert_refused(weights_load(m, path), EINVAL, "cut short");
    write_file(in_folder("x.conv.3"), new_version, HEADER, FLOATS, 0);
    assert_refused(weights_load(m, in_folder("x.conv.3")), EINVAL, "more", "3 layers");
    assert_refused(weights_load(m, in_folder("no.weights")), ENOENT, "no.weights");
    assert_refused(weights_save(m, in_folder("no/such.weights")), ENOENT, "no/such.weights");
    model_close(m);

    struct model_options opt = model_options_default();
    assert_int_equal(model_open(&m, "small", &opt), 0);
    assert_int_equal(model_bind(m, dev, RUN_EVAL, MODEL_GRADS_NONE), 0);
    assert_refused(weights_load(m, path), EINVAL, "darknet", "small", "safetensors");
    assert_refused(weights_save(m, path), EINVAL, "darknet", "small");
    model_close(m);
}

static void forward(struct model *m, float *out)
{
    struct pass *p;
    float *in = random_floats(2 * 8 * 8, 3, -1, 1);
    struct pass_ends ends = {.in = in, .out = out};
    if (pass_open(&p, m, RUN_EVAL, 1, &ends) < 0)
        fail_msg("%s", err_text());
    pass_forward(p);
    assert_true(m->folded);
    pass_close(p);
    guarded_free(in);
}

/* Weights keep evaluating as those of the program that they come from: through .safetensors too. */
static void test_origin(void **state)
{
    struct model *m = opened(0, 4);
    model_init(m, 5);
    assert_int_equal(m->origin, ORIGIN_PYTORCH);
    assert_int_equal(weights_save(m, in_folder("o.safetensors")), 0);
    assert_int_equal(weights_save(m, in_folder("o.weights")), 0);
    assert_int_equal(weights_load(m, in_folder("o.weights")), 0);
    assert_int_equal(m->origin, ORIGIN_DARKNET);
    assert_int_equal(weights_save(m, in_folder("p.safetensors")), 0);
    assert_int_equal(weights_load(m, in_folder("o.safetensors")), 0);
    assert_int_equal(m->origin, ORIGIN_PYTORCH);
    assert_int_equal(weights_load(m, in_folder("p.safetensors")), 0);
    assert_int_equal(m->origin, ORIGIN_DARKNET);
    model_close(m);
}

/* Loading over weights that have been folded gives the loaded ones. */
static void test_loaded_again(void **state)
{
    float first[32], again[32], other[32];
    struct model *m = opened(0, 4);
    model_init(m, 5);
    assert_int_equal(weights_save(m, in_folder("d.weights")), 0);
    forward(m, first);
    model_init(m, 6);
    assert_false(m->folded);
    forward(m, other);
    assert_int_equal(weights_load(m, in_folder("d.weights")), 0);
    assert_false(m->folded);
    forward(m, again);
    assert_memory_equal(first, again, sizeof(first));
    assert_memory_not_equal(first, other, sizeof(first));
    model_close(m);
}

static int open_all(void **state)
{
    folder = strdup(folder_new());
    dev = check_device("auto", 1);
    return 0;
}

static int close_all(void **state)
{
    char command[128];
    device_close(dev);
    /* nothing of a writer's temporary files is left beside what was written */
    snprintf(command, sizeof(command), "! ls -A %s | grep -q tmp && rm -r %s", folder, folder);
    free(folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),       cmocka_unit_test(test_versions),
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_cutoff),
        cmocka_unit_test(test_wrong_sizes),  cmocka_unit_test(test_origin),
        cmocka_unit_test(test_loaded_again), cmocka_unit_test(test_in_memory),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
