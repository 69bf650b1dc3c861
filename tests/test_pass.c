/*
 * Passes: fused or not, whole or cut anywhere, with memory shared as planned, a model computes the
 * same bits; micro-batches add up; gradients through values with several readers are right; memory
 * stays small.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/tiny_models.h"

enum { STEPS = 3 };

/* Trains both for a few steps: losses and weights must be the same, bit for bit if limit is 0. */
static void compare_chains(const char *what, struct chain *got, struct chain *want, double limit)
{
    for (uint32_t s = 0; s < STEPS; s++) {
        int n = s == 1 ? BATCH / 2 : BATCH; /* a short batch among them */
        double g = step_on_batch(got, n, s), w = step_on_batch(want, n, s);
        if (limit == 0 ? memcmp(&g, &w, sizeof(g)) != 0 : fabs(g - w) > 1e-6)
            fail_msg("%s: loss %.17g, want %.17g in step %u", what, g, w, s);
        if (!isfinite(w))
            fail_msg("%s: loss %g", what, w);
    }
    check_chains_equal(what, got, want, limit);
    chain_close(got);
    chain_close(want);
}

static void test_training_changes_weights(void **state)
{
    struct device *d = check_device("reference", 1);
    struct chain *a = chain_open(tiny, d, &train), *b = chain_open(tiny, d, &train);
    double first = step_on_batch(a, BATCH, 0), last = 0;
    for (int i = 0; i < 100; i++)
        last = step_on_batch(a, BATCH, 0);
    assert_true(last < 0.7 * first);
    for (int l = 0; l < a->model[0]->nlayer; l++)
        for (int i = 0; i < a->model[0]->layer[l]->nparam; i++) {
            const struct tensor *t = &chain_param(a, l, i)->value;
            assert_memory_not_equal(t->data, chain_param(b, l, i)->value.data, tensor_bytes(t));
        }
    chain_close(a);
    chain_close(b);
    device_close(d);
}

static void test_fused(void **state)
{
    chain_build *const models[] = {small, tiny, tiny_plain, residual};
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        struct device *d = check_device(*isa, 2);
        for (int i = 0; i < 4; i++)
            for (int decay = 0; decay < 2; decay++) {
                struct chain_how how = train;
                how.sgd.weight_decay = decay ? 0.01f : 0;
                struct chain *fused = chain_open(models[i], d, &how);
                how.naive = true;
                compare_chains(*isa, fused, chain_open(models[i], d, &how), 0);
            }
        device_close(d);
    }
}

/* Every legal cut, and with `second` every legal pair of cuts. */
static void cut_everywhere(struct device *d, chain_build *build, struct chain_how how, bool second)
{
    struct model *m = build();
    for (int cut = 1; cut < m->nlayer; cut++)
        for (int next = second ? cut + 1 : m->nlayer; next <= m->nlayer; next++) {
            char what[128];
            if (!model_cut_legal(m, cut) || (next < m->nlayer && !model_cut_legal(m, next)))
                continue;
            snprintf(what, sizeof(what), "%s cut at %d, %d", m->name, cut, next);
            how.ncut = next < m->nlayer ? 2 : 1;
            how.cut[0] = cut;
            how.cut[1] = next;
            struct chain *parts = chain_open(build, d, &how);
            how.ncut = 0;
            compare_chains(what, parts, chain_open(build, d, &how), 0);
        }
    model_close(m);
}

static void test_cuts(void **state)
{
    struct device *d = check_device("reference", 2), *best = check_device("auto", 2);
    struct chain_how momentum = train, micro = train;
    momentum.sgd = (struct sgd){.lr = 0.05f, .momentum = 0.9f, .weight_decay = 0.01f};
    micro.micro = 2;
    micro.batch = BATCH / 2;
    cut_everywhere(d, tiny, train, true);
    cut_everywhere(d, residual, train, true);
    cut_everywhere(best, tiny, momentum, false);
    cut_everywhere(best, tiny, micro, false);
    cut_everywhere(best, residual, micro, false);
    cut_everywhere(best, small, train, false);
    device_close(d);
    device_close(best);
}

/* The convolutions of the real VGG11, at its own cut and elsewhere. */
static struct model *vgg11_features(void)
{
    struct model *m = opened("vgg11", 1);
    if (model_slice(m, 0, 26) < 0)
        fail_msg("%s", err_text());
    return m;
}

static void test_vgg11_cuts(void **state)
{
    static const int cuts[] = {1, 6, 9, 10, 17, 25};
    struct device *d = check_device("auto", 2);
    struct chain_how how = {.run = RUN_TRAIN, .batch = 1, .sgd = {.lr = 0.05f}};
    struct chain *whole = chain_open(vgg11_features, d, &how);
    float *input = random_floats(3 * 32 * 32, 9, -1, 1), *dout = random_floats(512, 10, -1, 1);
    for (size_t i = 0; i <= sizeof(cuts) / sizeof(cuts[0]); i++) {
        struct chain *c = whole;
        if (i > 0) {
            how.ncut = 1;
            how.cut[0] = cuts[i - 1];
            c = chain_open(vgg11_features, d, &how);
        }
        memcpy(c->act[0][0], input, 3 * 32 * 32 * sizeof(float));
        memcpy(c->grad[c->npart][0], dout, 512 * sizeof(float));
        chain_forward(c, 0);
        for (int p = c->npart; p-- > 0;)
            pass_backward_data(c->pass[p][0]);
        chain_update(c);
        if (i == 0)
            continue;
        check_same("vgg11 output", c->act[2][0], whole->act[1][0], 512 * sizeof(float));
        check_chains_equal("vgg11", c, whole, 0);
        chain_close(c);
    }
    chain_close(whole);
    guarded_free(input);
    guarded_free(dout);
    device_close(d);
}

/* Sums in another order: a relative 1e-6 or so, squared. */
static void test_micro_batches(void **state)
{
    struct device *d = check_device("reference", 1);
    chain_build *const models[] = {small, tiny_plain, residual};
    for (int i = 0; i < 3; i++)
        for (int micro = 2; micro <= 4; micro += 2) {
            struct chain_how how = train;
            how.micro = micro;
            how.batch = BATCH / micro;
            for (uint32_t s = 0; s < STEPS; s++) {
                struct chain *one = chain_open(models[i], d, &train);
                struct chain *many = chain_open(models[i], d, &how);
                double a = step_on_batch(one, BATCH, s), b = step_on_batch(many, BATCH, s);
                assert_true(fabs(a - b) < 1e-6);
                check_chains_equal("micro-batches", many, one, 1e-11);
                chain_close(one);
                chain_close(many);
            }
        }
    device_close(d);
}

/* Evaluation reuses memory and must give training's numbers where the layers do. */
static void test_eval(void **state)
{
    struct device *d = check_device("auto", 1);
    chain_build *const models[] = {small, tiny_no_dropout, residual};
    for (int i = 0; i < 3; i++) {
        struct chain_how how = {.run = RUN_EVAL, .batch = BATCH};
        struct chain *c = chain_open(models[i], d, &train), *e = chain_open(models[i], d, &how);
        for (uint32_t s = 0; s < 2; s++) {
            struct batch b = batch_of(c, s);
            memcpy(c->act[0][0], b.input, c->end_count[0] * sizeof(float));
            double loss = chain_step(e, b.input, b.labels, BATCH, s);
            assert_true(isfinite(loss));
            chain_forward(c, 0);
            check_same("evaluation", e->act[1][0], c->act[1][0], c->end_count[1] * sizeof(float));
            guarded_free(b.input);
        }
        assert_true(pass_bytes(e->pass[0][0]) < pass_bytes(c->pass[0][0]));
        chain_close(c);
        chain_close(e);
    }
    device_close(d);
}

/* Asking for the input's gradient changes no weight. */
static void test_no_din(void **state)
{
    struct device *d = check_device("auto", 1);
    chain_build *const models[] = {small, tiny, residual};
    for (int i = 0; i < 3; i++) {
        struct chain_how how = train;
        struct chain *without = chain_open(models[i], d, &how);
        how.want_din = true;
        compare_chains("with din", chain_open(models[i], d, &how), without, 0);
    }
    device_close(d);
}

static struct model *residual_smooth(void)
{
    return residual_model(3, 5, ACT_SIGMOID);
}

static double probe(struct chain *c, const float *input)
{
    double sum = 0;
    memcpy(c->act[0][0], input, c->end_count[0] * sizeof(float));
    chain_forward(c, 0);
    for (size_t i = 0; i < c->end_count[c->npart]; i++)
        sum += (double)c->act[c->npart][0][i] * (double)c->grad[c->npart][0][i];
    return sum;
}

/* The input's gradient through values with two readers, by central differences of fourth order.
 * With h = 1/8 the truncation, and the float rounding of the outputs over h, are some 1e-5 of
 * the slopes. */
static void test_several_readers(void **state)
{
    static const int cuts[][2] = {{0, 0}, {4, 0}, {2, 6}};
    static const double h = 0.125;
    struct device *d = check_device("reference", 1);
    for (int i = 0; i < 3; i++) {
        struct chain_how how = train;
        how.want_din = how.lend_dout = true;
        how.ncut = i;
        memcpy(how.cut, cuts[i], sizeof(cuts[i]));
        struct chain *c = chain_open(residual_smooth, d, &how);
        size_t n = c->end_count[0];
        float *input = random_floats(n, 40, -1, 1), *slope = guarded_floats(n);
        random_fill(c->grad[c->npart][0], c->end_count[c->npart], 41, -1, 1);
        for (size_t j = 0; j < n; j++) {
            float was = input[j];
            double f[5];
            for (int k = -2; k <= 2; k++) {
                input[j] = was + (float)(k * h);
                f[k + 2] = probe(c, input);
            }
            input[j] = was;
            slope[j] = (float)((f[0] - 8 * f[1] + 8 * f[3] - f[4]) / (12 * h));
        }
        probe(c, input);
        for (int p = c->npart; p-- > 0;)
            pass_backward_data(c->pass[p][0]);
        check_nmse("several readers", c->grad[0][0], slope, n, 1e-8);
        guarded_free(slope);
        guarded_free(input);
        chain_close(c);
    }
    device_close(d);
}

/* Nothing here but planning: the weights are never touched, so the kernel never gives their
 * pages. */
static void test_vgg11_memory(void **state)
{
    struct device *d = check_device("auto", 1);
    struct model *m = opened("vgg11", 0);
    struct pass_ends ends = {.in = guarded_floats(64 * 3 * 32 * 32)};
    struct pass *train_pass, *eval_pass;
    assert_int_equal(model_bind(m, d, RUN_TRAIN, MODEL_GRADS_FUSED), 0);
    assert_int_equal(pass_open(&train_pass, m, RUN_TRAIN, 64, &ends), 0);
    assert_int_equal(pass_open(&eval_pass, m, RUN_EVAL, 64, &ends), 0);
    assert_in_range(m->params.bytes, 132863336 * sizeof(float), 532000000);
    assert_true(m->params.bytes + pass_bytes(train_pass) < 1300000000);
    /* the convolutions' scratch is the same in both, and a third of the training pass */
    assert_true(pass_bytes(eval_pass) < pass_bytes(train_pass) / 10 * 6);
    print_message("vgg11, batch 64: weights %zu MB, training pass %zu MB, evaluation %zu MB\n",
                  m->params.bytes / 1000000, pass_bytes(train_pass) / 1000000,
                  pass_bytes(eval_pass) / 1000000);
    pass_close(train_pass);
    pass_close(eval_pass);
    guarded_free(ends.in);
    model_close(m);
    device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training_changes_weights),
        cmocka_unit_test(test_fused),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_vgg11_cuts),
        cmocka_unit_test(test_micro_batches),
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_no_din),
        cmocka_unit_test(test_several_readers),
        cmocka_unit_test(test_vgg11_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
