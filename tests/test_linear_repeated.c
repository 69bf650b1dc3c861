/*
 * The folded first linear layer of VGG against the ordinary one: the same outputs, input gradients
 * (summed over each run of equal values), weights after several steps, whether read in place or
 * from a saved file; and changing between folded and ordinary in the middle of a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/build.h"
#include "models/optimizer.h"
#include "models/pass.h"
#include "models/weights.h"
#include "tests/check.h"

enum { BATCH = 5, CHANNELS = 6, H = 3, W = 2, REPEAT = H * W, OUT = 7, STEPS = 4 };

/* Sums in another order, a few steps apart: some 2^-24 of relative error each, squared. */
static const double close_enough = 1e-11;

struct run {
    struct model *m;
    struct pass *p;
    float *in, *dout, *din, *out;
};

static void run_open(struct run *r, struct device *d, bool repeated)
{
    struct tensor in = tensor_f32(4, (int[]){1, CHANNELS, H, W});
    CHECK(model_begin(&r->m, "folded", &in) == 0);
    CHECK(model_add(r->m, flatten_new(), "flatten") == 0);
    struct layer *l = repeated ? linear_repeated_new(CHANNELS, H, W, OUT, INIT_PYTORCH)
                               : linear_new(CHANNELS * REPEAT, OUT, INIT_PYTORCH);
    CHECK(model_add(r->m, l, "linear") == 0);
    CHECK(model_add(r->m, activation_new(ACT_RELU), "relu") == 0);
    r->m->classes = OUT;
    CHECK(model_finish(r->m) == 0);
    CHECK(model_bind(r->m, d, RUN_TRAIN, MODEL_GRADS_FUSED) == 0);
    model_init(r->m, 3);
    size_t wide = (size_t)BATCH * CHANNELS * REPEAT;
    r->in = guarded_floats(wide);
    r->din = guarded_floats(wide);
    r->dout = guarded_floats((size_t)BATCH * OUT);
    r->out = guarded_floats((size_t)BATCH * OUT);
    struct pass_ends ends = {r->in, r->out, r->dout, r->din};
    CHECK(pass_open(&r->p, r->m, RUN_TRAIN, BATCH, &ends) == 0);
}

static void run_close(struct run *r)
{
    pass_close(r->p);
    model_close(r->m);
    guarded_free(r->in);
    guarded_free(r->din);
    guarded_free(r->dout);
    guarded_free(r->out);
}

static void run_step(struct run *r, int step, int n)
{
    float *x = random_floats((size_t)BATCH * CHANNELS, 10 + (uint32_t)step, -1, 1);
    float *dy = random_floats((size_t)BATCH * OUT, 50 + (uint32_t)step, -1, 1);
    for (size_t i = 0; i < (size_t)BATCH * CHANNELS * REPEAT; i++)
        r->in[i] = x[i / REPEAT];
    memcpy(r->dout, dy, sizeof(*dy) * BATCH * OUT);
    struct sgd sgd = {.lr = 0.1f};
    pass_set(r->p, n, 1, (uint32_t)step, 0);
    pass_forward(r->p);
    pass_backward_data(r->p);
    sgd_begin(&sgd, r->m);
    pass_backward_weights(r->p, sgd_scale(&sgd, r->m));
    sgd_end(&sgd, r->m);
    guarded_free(x);
    guarded_free(dy);
}

static void sum_runs(const float *din, int n, float *sum)
{
    for (int i = 0; i < n * CHANNELS; i++) {
        sum[i] = 0;
        for (int j = 0; j < REPEAT; j++)
            sum[i] += din[i * REPEAT + j];
    }
}

static void compare_step(struct run *a, struct run *b, int step, int n)
{
    float want[BATCH * CHANNELS], got[BATCH * CHANNELS];
    run_step(a, step, n);
    run_step(b, step, n);
    check_nmse("output", a->out, b->out, (size_t)n * OUT, close_enough);
    sum_runs(a->din, n, got);
    sum_runs(b->din, n, want);
    check_nmse("input gradient", got, want, (size_t)n * CHANNELS, close_enough);
}

static void compare_weights(const struct run *a, const struct run *b)
{
    for (int i = 0; i < 2; i++) {
        const struct param *p = &a->m->layer[1]->param[i], *q = &b->m->layer[1]->param[i];
        check_nmse(p->name, tensor_floats(&p->value), tensor_floats(&q->value),
                   tensor_count(&p->value), close_enough);
    }
}

static void check_isa(const char *isa)
{
    struct device *d = check_device(isa, 2);
    struct run a, b;
    run_open(&a, d, true);
    run_open(&b, d, false);
    for (int step = 0; step < STEPS; step++)
        compare_step(&a, &b, step, step == 2 ? 3 : BATCH);
    assert_non_null(a.m->layer[1]->param[0].delta);
    model_settle(a.m);
    assert_null(a.m->layer[1]->param[0].delta);
    compare_weights(&a, &b);
    model_prepare(a.m);
    compare_step(&a, &b, STEPS, BATCH);
    CHECK(model_set_grads(a.m, MODEL_GRADS_OWN) == 0 && model_set_grads(b.m, MODEL_GRADS_OWN) == 0);
    compare_step(&a, &b, STEPS + 1, BATCH);
    compare_weights(&a, &b);
    CHECK(model_set_grads(a.m, MODEL_GRADS_FUSED) == 0);
    CHECK(model_set_grads(b.m, MODEL_GRADS_FUSED) == 0);
    compare_step(&a, &b, STEPS + 2, BATCH);
    run_close(&a);
    run_close(&b);
    device_close(d);
}

static void test_like_the_ordinary_one(void **state)
{
    (void)state;
    for (const char *const *isa = device_cpu_isas(); *isa; isa++)
        check_isa(*isa);
    check_isa("reference");
}

/* What is saved is what settling would give, to the bit, and saving changes nothing. */
static void test_saved_without_settling(void **state)
{
    (void)state;
    char path[] = "/tmp/sparse-repeated-XXXXXX";
    int fd = mkstemp(path);
    struct device *d = check_device("auto", 1);
    struct run a, b;
    CHECK(fd >= 0 && close(fd) == 0);
    run_open(&a, d, true);
    run_open(&b, d, true);
    for (int step = 0; step < STEPS; step++) {
        run_step(&a, step, BATCH);
        run_step(&b, step, BATCH);
        CHECK(weights_save(a.m, path) == 0);
    }
    CHECK(weights_load(b.m, path) == 0);
    assert_int_equal(unlink(path), 0);
    const struct param *p = &a.m->layer[1]->param[0], *q = &b.m->layer[1]->param[0];
    const float *moved = tensor_floats(&p->value), *loaded = tensor_floats(&q->value);
    for (size_t i = 0; i < tensor_count(&p->value); i++)
        if (loaded[i] != moved[i] + p->delta[i / REPEAT] || q->delta[i / REPEAT] != 0)
            fail_msg("element %zu: saved %g, wanted %g", i, loaded[i],
                     moved[i] + p->delta[i / REPEAT]);
    run_close(&a);
    run_close(&b);
    device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_the_ordinary_one),
        cmocka_unit_test(test_saved_without_settling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
