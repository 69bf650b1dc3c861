/*
 * SGD against PyTorch's numbers, and its three ways (fused into the kernels, a buffer of gradients,
 * micro-batches) against each other. The numbers are of torch 1.13:
 *
 *     lin = nn.Linear(3, 2); weight [[.5, -.25, .125], [-1, .75, .375]]; bias [.0625, -.5]
 *     o = SGD(lin.parameters(), lr=0.5, momentum=..., weight_decay=...)
 *     for s in range(4): cross_entropy(lin(x + 0.25 * s), y).backward(); o.step()
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "models/build.h"
#include "tests/chain.h"

enum { N = 4, IN = 3, OUT = 2, STEPS = 4 };

static const float x[N][IN] = {{1, 2, -1}, {0.5f, -1, 2}, {-2, 0.25f, 1}, {1.5f, 1, 0.5f}};
static const int32_t y[N] = {0, 1, 1, 0};
static const float start[OUT * IN + OUT] = {0.5f,  -0.25f, 0.125f,  -1,
                                            0.75f, 0.375f, 0.0625f, -0.5f};

static const struct torch {
    float momentum, weight_decay;
    double loss[STEPS];
    double end[OUT * IN + OUT]; /* weight, bias after the steps */
} torch[] = {
    {0,
     0,
     {0.683534324, 0.292535514, 0.16141887, 0.113668196},
     {0.559004009, 0.205768242, -0.47141695, -1.05900419, 0.294231802, 0.97141695, -0.0517889671,
      -0.385710984}},
    {0.9f,
     0,
     {0.683534324, 0.292535514, 0.0649133623, 0.0259804819},
     {0.694891989, 0.921370625, -1.28419459, -1.19489205, -0.421370596, 1.78419447, -0.190435573,
      -0.247064441}},
    {0,
     0.05f,
     {0.683534324, 0.288013458, 0.162981927, 0.119378135},
     {0.518514574, 0.210641235, -0.448197603, -0.970358491, 0.241202712, 0.900041521, -0.0475008264,
      -0.347862661}},
    {0.9f,
     0.05f,
     {0.683534324, 0.288013458, 0.0669714287, 0.0310211498},
     {0.596949458, 0.919445157, -1.21992075, -0.988106728, -0.528288007, 1.61107779, -0.180049822,
      -0.162212789}},
};

static struct model *one_linear(void)
{
    struct tensor in = tensor_f32(2, (int[]){1, IN});
    struct model *m;
    CHECK(model_begin(&m, "one", &in) == 0);
    CHECK(model_add(m, linear_new(IN, OUT, INIT_PYTORCH), "linear") == 0);
    CHECK(model_finish(m) == 0);
    return m;
}

/* A few float roundings of 6e-8 a step on numbers about 1. */
static const double rounding = 2e-6;

static void follow(struct device *d, const struct torch *t, int micro)
{
    struct chain_how how = {
        .run = RUN_TRAIN,
        .batch = N / micro,
        .micro = micro,
        .sgd = {.lr = 0.5f, .momentum = t->momentum, .weight_decay = t->weight_decay},
    };
    struct chain *c = chain_open(one_linear, d, &how);
    struct param *param = c->model[0]->layer[0]->param;
    memcpy(param[0].value.data, start, OUT * IN * sizeof(float));
    memcpy(param[1].value.data, start + OUT * IN, OUT * sizeof(float));
    for (int s = 0; s < STEPS; s++) {
        float input[N][IN];
        for (int i = 0; i < N * IN; i++)
            input[i / IN][i % IN] = x[i / IN][i % IN] + 0.25f * (float)s;
        double loss = chain_step(c, &input[0][0], y, N, (uint32_t)s);
        assert_float_equal(loss, t->loss[s], rounding);
    }
    for (int i = 0; i < OUT * IN + OUT; i++) {
        bool bias = i >= OUT * IN;
        const float *got = tensor_floats(&param[bias].value);
        assert_float_equal(got[bias ? i - OUT * IN : i], t->end[i], rounding);
    }
    chain_close(c);
}

static void test_torch(void **state)
{
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        struct device *d = check_device(*isa, 1);
        for (size_t i = 0; i < sizeof(torch) / sizeof(torch[0]); i++)
            for (int micro = 1; micro <= 4; micro *= 2)
                follow(d, &torch[i], micro);
        device_close(d);
    }
}

static void test_grads_kind(void **state)
{
    struct sgd plain = {.lr = 0.1f}, momentum = {.lr = 0.1f, .momentum = 0.9f};
    struct sgd decay = {.lr = 0.1f, .weight_decay = 0.1f};
    assert_int_equal(sgd_grads(&plain, 1), MODEL_GRADS_FUSED);
    assert_int_equal(sgd_grads(&plain, 2), MODEL_GRADS_OWN);
    assert_int_equal(sgd_grads(&momentum, 1), MODEL_GRADS_OWN);
    assert_int_equal(sgd_grads(&decay, 1), MODEL_GRADS_OWN);
}

/* A step that met a NaN must not poison the gradients of the next one. */
static void test_no_momentum_forgets(void **state)
{
    struct device *d = check_device("reference", 1);
    struct chain_how how = {.run = RUN_TRAIN, .batch = 2, .micro = 2, .sgd = {.lr = 0.5f}};
    struct chain *c = chain_open(one_linear, d, &how);
    float *grads = c->model[0]->grads.base;
    for (size_t i = 0; i < c->model[0]->nparam_floats; i++)
        grads[i] = NAN;
    chain_step(c, &x[0][0], y, N, 0);
    for (int i = 0; i < OUT * IN; i++)
        assert_true(isfinite(tensor_floats(&c->model[0]->layer[0]->param[0].value)[i]));
    chain_close(c);
    device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torch),
        cmocka_unit_test(test_grads_kind),
        cmocka_unit_test(test_no_momentum_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
