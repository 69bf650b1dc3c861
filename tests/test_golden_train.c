/*
 * Whole models against PyTorch's own numbers (tests/golden, written by make_golden.py): names and
 * shapes of all parameters, SGD steps of Small and VGG11 with every loss and what they made of
 * every tensor, and the codec's units, forward and backward.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/optimizer.h"
#include "models/pass.h"
#include "tests/golden/golden.h"

/*
 * What float32 in another order of summation leaves, measured by PyTorch in float32 against itself
 * in float64: losses agree to 1e-6, changes of tensors to an NMSE of 1e-11 (Small) and 1e-6 (VGG11,
 * 5e-5 where one maximum of a pool changes sides).
 */
#define LOSS_LIMIT 1e-5
#define SMALL_LIMIT 1e-9
#define VGG_LIMIT 1e-3
#define CODEC_LIMIT 1e-10

/* Steps of a run, at most. Sanitizers look at memory, of which two steps show all that there is,
 * and are slow; what the last step made of the tensors is for builds without. */
#ifdef SANITIZED
enum { STEPS_MOST = 2 };
#else
enum { STEPS_MOST = 64 };
#endif

static struct model *open_model(const char *name, int codec)
{
    struct model_options opt = model_options_default();
    struct model *m;
    opt.dropout = 0;
    opt.codec = codec;
    if (model_open(&m, name, &opt) < 0)
        fail_msg("%s: %s", name, err_text());
    return m;
}

static void bind(struct model *m, struct device *dev, enum model_grads grads)
{
    if (model_bind(m, dev, RUN_TRAIN, grads) < 0)
        fail_msg("%s: %s", m->name, err_text());
}

/* Calls fn for each trained parameter of the slice, in order, with its entry of `list`. */
static void each_param(struct model *m, const json_t *list,
                       void (*fn)(const struct param *p, uint32_t stream, const json_t *want,
                                  void *arg),
                       void *arg)
{
    uint32_t stream = 0;
    for (int i = m->from; i < m->to; i++) {
        for (int j = 0; j < m->layer[i]->nparam; j++) {
            const struct param *p = &m->layer[i]->param[j];
            if (p->state)
                continue;
            const json_t *want = json_array_get(list, stream);
            if (!want)
                fail_msg("%s: PyTorch has no %s", m->name, p->name);
            assert_string_equal(p->name, golden_text(want, "name"));
            fn(p, stream++, want, arg);
        }
    }
    assert_int_equal(stream, json_array_size(list));
}

static void fill_param(const struct param *p, uint32_t stream, const json_t *want, void *arg)
{
    golden_fill(tensor_floats(&p->value), tensor_count(&p->value), *(const uint64_t *)arg, stream,
                0, (float)golden_number(want, "scale"));
}

struct trained {
    uint64_t seed;
    double limit;
    char what[128];
};

static void check_trained(const struct param *p, uint32_t stream, const json_t *want, void *arg)
{
    const struct trained *t = arg;
    size_t n = tensor_count(&p->value);
    float *start = malloc(n * sizeof(*start));
    char what[256];
    CHECK(start);
    snprintf(what, sizeof(what), "%s: change of %s", t->what, p->name);
    golden_fill(start, n, t->seed, stream, 0, (float)golden_number(want, "scale"));
    golden_check_change(what, want, tensor_floats(&p->value), start, n, t->limit);
    free(start);
}

/* True if all steps were done. */
static bool check_losses(const json_t *run, const struct trained *t, struct model *m,
                         const struct sgd *sgd)
{
    int batch = golden_int(run, "batch"), batches = golden_int(run, "batches");
    size_t row = tensor_row(&m->in);
    float *inp = guarded_floats((size_t)batch * row);
    int32_t *labels = guarded((size_t)batch * sizeof(*labels));
    struct pass_ends ends = {.in = inp};
    struct pass *p;
    double want[64];
    size_t all = golden_numbers(run, "losses", want, 64),
           steps = all < STEPS_MOST ? all : STEPS_MOST;
    if (pass_open(&p, m, RUN_TRAIN, batch, &ends) < 0)
        fail_msg("%s: %s", t->what, err_text());
    for (size_t step = 0; step < steps; step++) {
        uint32_t b = (uint32_t)step % (uint32_t)batches;
        golden_fill(inp, (size_t)batch * row, t->seed, STREAM_INPUT, b, 1);
        golden_labels(labels, batch, t->seed, STREAM_LABELS, b, 10);
        pass_set(p, batch, t->seed, (uint32_t)step, 0);
        pass_forward(p);
        pass_loss(p, labels, batch);
        pass_backward_data(p);
        sgd_begin(sgd, m);
        pass_backward_weights(p, sgd_scale(sgd, m));
        sgd_end(sgd, m);
        if (device_sync(m->dev) < 0)
            fail_msg("%s: %s", t->what, err_text());
        double sum = pass_loss_sum(p);
        if (!(fabs(sum / batch - want[step]) <= LOSS_LIMIT * want[step]))
            fail_msg("%s: loss %zu is %.9g, wanted %.9g", t->what, step, sum / batch, want[step]);
    }
    pass_close(p);
    guarded_free(inp);
    guarded_free(labels);
    return steps == all;
}

static void train(const json_t *run, const char *isa, double limit)
{
    const struct sgd sgd = {.lr = (float)golden_number(run, "lr"),
                            .momentum = (float)golden_number(run, "momentum"),
                            .weight_decay = (float)golden_number(run, "weight_decay")};
    struct trained t = {.seed = (uint64_t)golden_int(run, "seed"), .limit = limit};
    struct device *dev = check_device(isa, 2);
    struct model *m = open_model(golden_text(run, "model"), 0);
    snprintf(t.what, sizeof(t.what), "%s: %s, batch %d, momentum %g", isa, m->name,
             golden_int(run, "batch"), sgd.momentum);
    bind(m, dev, sgd_grads(&sgd, 1));
    each_param(m, json_object_get(run, "params"), fill_param, &t.seed);
    model_prepare(m);
    bool all = check_losses(run, &t, m, &sgd);
    model_settle(m);
    if (all)
        each_param(m, json_object_get(run, "params"), check_trained, &t);
    model_close(m);
    device_close(dev);
}

static void test_small(void **state)
{
    json_t *runs = golden_open("small.json", "runs"), *run;
    assert_int_equal(json_array_size(runs), 3);
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        size_t i;
        json_array_foreach(runs, i, run) {
            if (strcmp(*isa, "reference") !=
                0) /* takes minutes; test_golden.c has its arithmetic */
                train(run, *isa, SMALL_LIMIT);
        }
    }
    golden_close(runs);
}

static void test_vgg11(void **state)
{
    json_t *runs = golden_open("vgg11.json", "runs");
    assert_int_equal(json_array_size(runs), 1);
    train(json_array_get(runs, 0), "auto", VGG_LIMIT);
    golden_close(runs);
}

/* tests/golden/keys_*.txt: "name dim dim ..." a line, in PyTorch's order. */
static void check_keys(const char *file, const char *name, int codec)
{
    struct model *m = open_model(name, codec);
    char path[128], key[128], shape[128], line[256];
    snprintf(path, sizeof(path), "tests/golden/%s", file);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("cannot open %s (run from the repository root)", path);
    int lines = 0, found = 0, params = 0;
    for (; fgets(line, sizeof(line), f); lines++) {
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%127s %127[^\n]", key, shape) != 2)
            fail_msg("%s:%d: not a key and its shape", path, lines + 1);
        for (int i = 0; i < m->nlayer; i++) {
            for (int j = 0; j < m->layer[i]->nparam; j++) {
                const struct tensor *t = &m->layer[i]->param[j].value;
                char ours[128];
                size_t used = 0;
                if (strcmp(m->layer[i]->param[j].name, key) != 0)
                    continue;
                for (int d = 0; d < t->ndim; d++)
                    used += (size_t)snprintf(ours + used, sizeof(ours) - used, "%s%d", d ? " " : "",
                                             t->dim[d]);
                assert_string_equal(ours, shape);
                found++;
            }
        }
    }
    fclose(f);
    for (int i = 0; i < m->nlayer; i++)
        params += m->layer[i]->nparam;
    if (found != lines || params != lines)
        fail_msg("%s: %d keys, %d of them in the model, which has %d", path, lines, found, params);
    model_close(m);
}

static void test_keys(void **state)
{
    check_keys("keys_small.txt", "small", 0);
    check_keys("keys_vgg11.txt", "vgg11", 0);
    check_keys("keys_vgg16.txt", "vgg16", 0);
    check_keys("keys_vgg19.txt", "vgg19", 0);
    check_keys("keys_vgg11_codec4.txt", "vgg11", 4);
}

static void check_gradient(const struct param *p, uint32_t stream, const json_t *want, void *arg)
{
    size_t n = tensor_count(&p->value);
    if (strcmp(p->name, "encoder.0.bias") != 0) {
        golden_check_change(p->name, want, p->grad, NULL, n, CODEC_LIMIT);
        return;
    }
    /* Batch-norm takes a bias off again: its gradient is zero but for rounding, in PyTorch too. */
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(p->grad[i]) < 1e-5f))
            fail_msg("%s: gradient %zu is %.9g, wanted about 0", p->name, i, p->grad[i]);
}

/* The encoder's three layers and the decoder's two, as one pass with all four ends lent. */
static void check_codec(const json_t *run, struct device *dev)
{
    struct model *m = open_model("vgg11", golden_int(run, "factor"));
    uint64_t seed = (uint64_t)golden_int(run, "seed");
    double dim[4];
    assert_int_equal(golden_numbers(run, "dims", dim, 4), 4);
    struct tensor in = model_crossing(m, m->default_cut - 3, (int)dim[0]);
    size_t n = tensor_count(&in);
    float *inp = guarded_floats(n), *out = guarded_floats(n), *din = guarded_floats(n);
    float *dout = guarded_floats(n);
    golden_fill(inp, n, seed, STREAM_INPUT, 0, 1);
    golden_fill(dout, n, seed, STREAM_LABELS, 0, 1);
    struct pass_ends ends = {.in = inp, .out = out, .dout = dout, .din = din};
    struct pass *p;
    assert_int_equal(in.dim[1] * in.dim[2] * in.dim[3], (int)(dim[1] * dim[2] * dim[3]));
    if (model_slice(m, m->default_cut - 3, m->default_cut + 2) < 0)
        fail_msg("%s", err_text());
    bind(m, dev, MODEL_GRADS_OWN);
    each_param(m, json_object_get(run, "params"), fill_param, &seed);
    if (pass_open(&p, m, RUN_TRAIN, in.dim[0], &ends) < 0)
        fail_msg("%s", err_text());
    pass_set(p, in.dim[0], 1, 0, 0);
    pass_forward(p);
    pass_backward_data(p);
    pass_backward_weights(p, 1);
    assert_int_equal(device_sync(dev), 0);
    golden_check_change("codec: out", json_object_get(run, "out"), out, NULL, n, CODEC_LIMIT);
    golden_check_change("codec: din", json_object_get(run, "dinp"), din, NULL, n, CODEC_LIMIT);
    each_param(m, json_object_get(run, "params"), check_gradient, NULL);
    pass_close(p);
    model_close(m);
    guarded_free(inp);
    guarded_free(out);
    guarded_free(din);
    guarded_free(dout);
}

static void test_codec(void **state)
{
    json_t *runs = golden_open("codec.json", "runs"), *run;
    assert_int_equal(json_array_size(runs), 2);
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        struct device *dev = check_device(*isa, 2);
        size_t i;
        json_array_foreach(runs, i, run) {
            check_codec(run, dev);
        }
        device_close(dev);
    }
    golden_close(runs);
}

static void test_codec_counts(void **state)
{
    struct model *m = open_model("vgg11", 1);
    assert_int_equal(model_param_count(m, 0, m->default_cut), 223488);
    assert_int_equal(model_param_count(m, m->default_cut, m->nlayer), 132935272);
    model_close(m);
    m = open_model("vgg11", 4);
    assert_int_equal(model_param_count(m, 0, m->default_cut),
                     223488 - 128 * 9 * 96 -
                         3 * 96); /* 96 channels fewer: weights; bias and scale */
    assert_int_equal(model_param_count(m, m->default_cut, m->nlayer), 132935272 - 128 * 9 * 96);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),  cmocka_unit_test(test_codec_counts),
        cmocka_unit_test(test_codec), cmocka_unit_test(test_small),
        cmocka_unit_test(test_vgg11),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
