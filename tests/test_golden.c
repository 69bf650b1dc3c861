/*
 * Each operation of each instruction set against PyTorch's own numbers, which make_golden.py wrote
 * to tests/golden/operations.json: forward and every gradient. The kernel tests compare the sets
 * with our reference; this one says that the reference means what PyTorch means.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/golden/golden.h"

/* float32 over at most a few hundred terms errs by about 1e-14; leave a Winograd room. */
#define LIMIT 1e-11

enum { MAX_VALUES = 4096, STREAM_INP = 0, STREAM_WEIGHT, STREAM_BIAS, STREAM_DOUT };
enum { STREAM_MEAN = STREAM_DOUT + 1, STREAM_VAR };

/* One case on one device. */
struct run {
    struct device *dev;
    const struct kernels *k;
    const json_t *json;
    uint64_t seed;
    int dim[16];
};

static float *draw(const struct run *r, size_t n, uint32_t stream, float scale)
{
    return golden_draw(n, r->seed, stream, scale);
}

static float *zeros(size_t n)
{
    float *x = guarded_floats(n);
    memset(x, 0, n * sizeof(float));
    return x;
}

/* Compares with the case's array `key` and frees. */
static void expect(const struct run *r, const char *key, float *got, size_t n)
{
    double number[MAX_VALUES];
    float want[MAX_VALUES] = {0};
    char what[128];
    snprintf(what, sizeof(what), "%s: %s %s: %s", r->k->name, golden_text(r->json, "op"),
             golden_text(r->json, "name"), key);
    if (n == 0 || golden_numbers(r->json, key, number, MAX_VALUES) != n)
        fail_msg("%s: wanted %zu numbers", what, n);
    for (size_t i = 0; i < n; i++)
        want[i] = (float)number[i];
    check_nmse(what, got, want, n, LIMIT);
    guarded_free(got);
}

static void run_conv(const struct run *r, int transposed)
{
    const struct kernels *k = r->k;
    const int *d = r->dim;
    struct conv2d_dims s = {.n = d[0],
                            .c = d[1],
                            .h = d[2],
                            .w = d[3],
                            .k = d[4],
                            .kh = d[5],
                            .kw = d[6],
                            .sh = d[7],
                            .sw = d[8],
                            .ph = d[9],
                            .pw = d[10],
                            .oh = d[11],
                            .ow = d[12]};
    size_t ninp = (size_t)s.n * s.c * s.h * s.w, nout = (size_t)s.n * s.k * s.oh * s.ow;
    size_t nweight = (size_t)s.c * s.k * s.kh * s.kw;
    int has_bias = json_object_get(r->json, "dbias") != NULL;
    float *inp = draw(r, ninp, STREAM_INP, 1), *weight = draw(r, nweight, STREAM_WEIGHT, 0.5f);
    float *bias = draw(r, s.k, STREAM_BIAS, 1), *dout = draw(r, nout, STREAM_DOUT, 1);
    float *out = guarded_floats(nout), *dinp = guarded_floats(ninp);
    float *dweight = zeros(nweight), *dbias = zeros(s.k);
    float *b = has_bias ? bias : NULL, *db = has_bias ? dbias : NULL;
    void *work = guarded(transposed ? k->conv_transpose2d_work(r->dev, &s, 1)
                                    : k->conv2d_work(r->dev, &s, 1));

    if (transposed) {
        k->conv_transpose2d_forward(r->dev, out, inp, weight, b, &s, ACT_NONE, work);
        k->conv_transpose2d_backward_data(r->dev, dinp, dout, weight, &s, 0, work);
        k->conv_transpose2d_backward_weights(r->dev, dweight, db, dout, inp, &s, 1, work);
    } else {
        k->conv2d_forward(r->dev, out, inp, weight, b, &s, ACT_NONE, work);
        k->conv2d_backward_data(r->dev, dinp, dout, weight, &s, 0, work);
        k->conv2d_backward_weights(r->dev, dweight, db, dout, inp, &s, 1, work);
    }
    expect(r, "out", out, nout);
    expect(r, "dinp", dinp, ninp);
    expect(r, "dweight", dweight, nweight);
    if (has_bias)
        expect(r, "dbias", dbias, s.k);
    else
        guarded_free(dbias);
    guarded_free(inp);
    guarded_free(weight);
    guarded_free(bias);
    guarded_free(dout);
    guarded_free(work);
}

static void run_conv2d(const struct run *r)
{
    run_conv(r, 0);
}

static void run_conv_transpose2d(const struct run *r)
{
    run_conv(r, 1);
}

static void run_linear(const struct run *r)
{
    int n = r->dim[0], c = r->dim[1], k = r->dim[2];
    size_t nc = (size_t)n * c, nk = (size_t)n * k, kc = (size_t)k * c;
    float *inp = draw(r, nc, STREAM_INP, 1), *weight = draw(r, kc, STREAM_WEIGHT, 0.5f);
    float *bias = draw(r, k, STREAM_BIAS, 1), *dout = draw(r, nk, STREAM_DOUT, 1);
    float *out = guarded_floats(nk), *dinp = guarded_floats(nc);
    float *dweight = zeros(kc), *dbias = zeros(k);
    void *work = guarded(r->k->linear_work(r->dev, n, c, k));

    r->k->linear_forward(r->dev, out, inp, weight, bias, n, c, k, ACT_NONE, work);
    r->k->linear_backward_data(r->dev, dinp, dout, weight, n, c, k, 0, work);
    r->k->linear_backward_weights(r->dev, dweight, dbias, dout, inp, n, c, k, 1, work);
    expect(r, "out", out, nk);
    expect(r, "dinp", dinp, nc);
    expect(r, "dweight", dweight, kc);
    expect(r, "dbias", dbias, k);
    guarded_free(inp);
    guarded_free(weight);
    guarded_free(bias);
    guarded_free(dout);
    guarded_free(work);
}

static void run_batchnorm(const struct run *r)
{
    int n = r->dim[0], c = r->dim[1], hw = r->dim[2];
    size_t count = (size_t)n * c * hw;
    float momentum = (float)golden_number(r->json, "momentum");
    float eps = (float)golden_number(r->json, "eps");
    float *inp = draw(r, count, STREAM_INP, 1), *dout = draw(r, count, STREAM_DOUT, 1);
    float *weight = draw(r, c, STREAM_WEIGHT, 1), *bias = draw(r, c, STREAM_BIAS, 1);
    float *mean = draw(r, c, STREAM_MEAN, 0.3f), *var = draw(r, c, STREAM_VAR, 0.5f);
    float *saved_mean = guarded_floats(c), *saved_invstd = guarded_floats(c);
    float *dweight = guarded_floats(c), *dbias = guarded_floats(c);
    float *out = guarded_floats(count), *dinp = guarded_floats(count),
          *eval = guarded_floats(count);
    for (int i = 0; i < c; i++)
        var[i] += 1;

    r->k->batchnorm_forward_train(r->dev, out, saved_mean, saved_invstd, mean, var, inp, weight,
                                  bias, n, c, hw, momentum, eps);
    r->k->batchnorm_backward_data(r->dev, dinp, dweight, dbias, dout, inp, weight, saved_mean,
                                  saved_invstd, n, c, hw, eps, 0);
    r->k->batchnorm_forward_eval(r->dev, eval, inp, weight, bias, mean, var, n, c, hw, eps,
                                 ACT_NONE);
    expect(r, "out", out, count);
    expect(r, "dinp", dinp, count);
    expect(r, "dweight", dweight, c);
    expect(r, "dbias", dbias, c);
    expect(r, "mean", mean, c);
    expect(r, "var", var, c);
    expect(r, "eval", eval, count);
    guarded_free(inp);
    guarded_free(dout);
    guarded_free(weight);
    guarded_free(bias);
    guarded_free(saved_mean);
    guarded_free(saved_invstd);
}

static void run_maxpool(const struct run *r)
{
    const int *d = r->dim;
    struct pool_dims s = {.n = d[0],
                          .c = d[1],
                          .h = d[2],
                          .w = d[3],
                          .kh = d[4],
                          .kw = d[4],
                          .sh = d[5],
                          .sw = d[5],
                          .ph = d[6],
                          .pw = d[6],
                          .oh = d[7],
                          .ow = d[8]};
    size_t ninp = (size_t)s.n * s.c * s.h * s.w, nout = (size_t)s.n * s.c * s.oh * s.ow;
    struct rng key = rng_make(r->seed, RNG_TEST, STREAM_INP, 0);
    float *inp = guarded_floats(ninp), *out = guarded_floats(nout), *dinp = guarded_floats(ninp);
    float *dout = draw(r, nout, STREAM_DOUT, 1);
    uint8_t *arg = guarded(nout);
    for (size_t i = 0; i < ninp; i++)
        inp[i] = (float)(rng_word(&key, i) % 3); /* counter.levels: ties */

    r->k->maxpool_forward(r->dev, out, arg, inp, &s);
    r->k->maxpool_backward(r->dev, dinp, dout, arg, &s, 0);
    expect(r, "out", out, nout);
    expect(r, "dinp", dinp, ninp);
    guarded_free(inp);
    guarded_free(dout);
    guarded_free(arg);
}

static void run_avgpool(const struct run *r)
{
    int n = r->dim[0], c = r->dim[1], h = r->dim[2], w = r->dim[3], oh = r->dim[4], ow = r->dim[5];
    size_t ninp = (size_t)n * c * h * w, nout = (size_t)n * c * oh * ow;
    float *inp = draw(r, ninp, STREAM_INP, 1), *dout = draw(r, nout, STREAM_DOUT, 1);
    float *out = guarded_floats(nout), *dinp = guarded_floats(ninp);

    r->k->avgpool_forward(r->dev, out, inp, n, c, h, w, oh, ow);
    r->k->avgpool_backward(r->dev, dinp, dout, n, c, h, w, oh, ow, 0);
    expect(r, "out", out, nout);
    expect(r, "dinp", dinp, ninp);
    guarded_free(inp);
    guarded_free(dout);
}

static void run_cross_entropy(const struct run *r)
{
    int n = r->dim[0], classes = r->dim[1];
    size_t count = (size_t)n * classes;
    float *logits = draw(r, count, STREAM_INP, (float)golden_number(r->json, "scale"));
    float *loss = guarded_floats(n), *dlogits = guarded_floats(count);
    int32_t *labels = guarded(n * sizeof(*labels));
    golden_labels(labels, n, r->seed, STREAM_INP + 1, 0, (uint32_t)classes);

    r->k->softmax_xent(r->dev, loss, dlogits, logits, labels, n, classes, 1.0f / (float)n);
    expect(r, "out", loss, n);
    expect(r, "dinp", dlogits, count);
    guarded_free(logits);
    guarded_free(labels);
}

static void run_act(const struct run *r, enum act act)
{
    size_t n = r->dim[0];
    float *inp = draw(r, n, STREAM_INP, 6), *dout = draw(r, n, STREAM_DOUT, 1);
    float *out = guarded_floats(n), *dinp = guarded_floats(n);

    r->k->act_forward(r->dev, out, inp, n, act);
    r->k->act_backward(r->dev, dinp, dout, out, n, act, 0);
    expect(r, "dinp", dinp, n);
    expect(r, "out", out, n);
    guarded_free(inp);
    guarded_free(dout);
}

static void run_relu(const struct run *r)
{
    run_act(r, ACT_RELU);
}

static void run_leaky(const struct run *r)
{
    run_act(r, ACT_LEAKY);
}

static void run_sigmoid(const struct run *r)
{
    run_act(r, ACT_SIGMOID);
}

struct operation {
    const char *op;
    void (*run)(const struct run *r);
};

static const struct operation OPERATION[] = {
    {"conv2d", run_conv2d},
    {"conv_transpose2d", run_conv_transpose2d},
    {"linear", run_linear},
    {"batchnorm", run_batchnorm},
    {"maxpool", run_maxpool},
    {"avgpool", run_avgpool},
    {"cross_entropy", run_cross_entropy},
    {"relu", run_relu},
    {"leaky", run_leaky},
    {"sigmoid", run_sigmoid},
};

enum { OPERATION_COUNT = sizeof(OPERATION) / sizeof(OPERATION[0]) };

static void run_case(const struct operation *o, struct device *dev, const json_t *c)
{
    struct run r = {.dev = dev, .k = dev->kernels, .json = c, .seed = golden_int(c, "seed")};
    double dim[16];
    size_t ndim = golden_numbers(c, "dims", dim, 16);
    for (size_t i = 0; i < ndim; i++)
        r.dim[i] = (int)dim[i];
    o->run(&r);
}

/* All cases of one operation, on every instruction set of this machine. */
static void test_operation(void **state)
{
    const struct operation *o = *state;
    json_t *cases = golden_open("operations.json", "cases"), *c;
    int ran = 0;
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        struct device *dev = check_device(*isa, 2);
        size_t i;
        json_array_foreach(cases, i, c) {
            if (strcmp(golden_text(c, "op"), o->op) == 0) {
                run_case(o, dev, c);
                ran++;
            }
        }
        device_close(dev);
    }
    assert_true(ran >= 2); /* the reference and another */
    golden_close(cases);
}

static void test_every_case_has_an_operation(void **state)
{
    json_t *cases = golden_open("operations.json", "cases"), *c;
    size_t i;
    json_array_foreach(cases, i, c) {
        int found = 0;
        for (int o = 0; o < OPERATION_COUNT; o++)
            found += strcmp(OPERATION[o].op, golden_text(c, "op")) == 0;
        if (found != 1)
            fail_msg("operation \"%s\" has %d tests", golden_text(c, "op"), found);
    }
    golden_close(cases);
}

int main(void)
{
    struct CMUnitTest tests[OPERATION_COUNT + 1] = {
        cmocka_unit_test(test_every_case_has_an_operation)};
    for (int o = 0; o < OPERATION_COUNT; o++)
        tests[o + 1] =
            (struct CMUnitTest){OPERATION[o].op, test_operation, NULL, NULL, (void *)&OPERATION[o]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
