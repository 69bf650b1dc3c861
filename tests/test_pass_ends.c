/*
 * What a pass does at its ends: lent memory is read or written as agreed and not beyond the samples
 * of this step, an output of its own stays, and what pass_set is told arrives.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/tiny_models.h"

/* An output that nobody lent memory for is there until the next forward. */
static void test_own_output(void **state)
{
    struct device *d = check_device("auto", 1);
    chain_build *const models[] = {small, tiny, residual};
    for (int i = 0; i < 3; i++) {
        struct chain_how how = train;
        struct chain *lent = chain_open(models[i], d, &how);
        how.own_out = true;
        struct chain *own = chain_open(models[i], d, &how);
        step_on_batch(lent, BATCH, 0);
        step_on_batch(own, BATCH, 0);
        const struct tensor *out = pass_out(own->pass[0][0]);
        check_same("own output", out->data, lent->act[1][0], tensor_bytes(out));
        assert_int_equal(tensor_count(out), lent->end_count[1]);
        chain_close(lent);
        chain_close(own);
    }
    device_close(d);
}

/* What comes from outside is read and never written: the network may still be sending it.
 * Small's first part ends with an activation, tiny's with a flatten or a dropout that hands the
 * gradient on. */
static void test_lent_ends(void **state)
{
    static const struct {
        chain_build *build;
        int cut;
    } cases[] = {{small, 1}, {small, 3}, {tiny, 12}, {tiny, 15}, {tiny_no_dropout, 10}};
    struct device *d = check_device("auto", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct chain_how how = train;
        how.want_din = true;
        how.ncut = 1;
        how.cut[0] = cases[i].cut;
        struct chain *c = chain_open(cases[i].build, d, &how);
        step_on_batch(c, BATCH, 0);
        struct batch b = batch_of(c, 0);
        size_t bytes = c->end_count[1] * sizeof(float);
        check_same("input", c->act[0][0], b.input, c->end_count[0] * sizeof(float));
        float *act = guarded(bytes), *dout = random_floats(c->end_count[1], 3, -1, 1);
        memcpy(act, c->act[1][0], bytes);
        memcpy(c->grad[1][0], dout, bytes);
        pass_backward_data(c->pass[0][0]);
        pass_backward_weights(c->pass[0][0], 1);
        check_same("activation", c->act[1][0], act, bytes);
        check_same("gradient", c->grad[1][0], dout, bytes);
        guarded_free(b.input);
        guarded_free(act);
        guarded_free(dout);
        chain_close(c);
    }
    device_close(d);
}

/* A short batch touches its own rows alone: behind them the ends are still poison. */
static void test_short_batch(void **state)
{
    struct device *d = check_device("auto", 1);
    struct model *m = tiny();
    for (int cut = 1; cut < m->nlayer; cut++) {
        struct chain_how how = train;
        how.want_din = true;
        how.ncut = 1;
        how.cut[0] = cut;
        struct chain *c = chain_open(tiny, d, &how);
        step_on_batch(c, BATCH / 2, 0);
        for (int end = 0; end <= 2; end++) {
            size_t half = c->end_count[end] / 2, bytes = half * sizeof(float);
            float *untouched = guarded(bytes);
            check_same("rows of act", c->act[end][0] + half, untouched, bytes);
            check_same("rows of grad", c->grad[end][0] + half, untouched, bytes);
            guarded_free(untouched);
        }
        chain_close(c);
    }
    model_close(m);
    device_close(d);
}

/* What pass_set is told reaches dropout: seed, step and first sample each change the output. */
static void test_keys(void **state)
{
    struct device *d = check_device("auto", 1);
    struct chain *c = chain_open(tiny_plain, d, &train);
    struct batch b = batch_of(c, 0);
    size_t bytes = c->end_count[1] * sizeof(float);
    float *first = guarded(bytes);
    static const struct {
        uint64_t seed, first_sample;
        uint32_t step;
    } keys[] = {{1, 0, 0}, {2, 0, 0}, {1, 4, 0}, {1, 0, 1}, {1, 0, 0}};
    memcpy(c->act[0][0], b.input, c->end_count[0] * sizeof(float));
    for (int i = 0; i < 5; i++) {
        pass_set(c->pass[0][0], BATCH, keys[i].seed, keys[i].step, keys[i].first_sample);
        pass_forward(c->pass[0][0]);
        if (i == 0)
            memcpy(first, c->act[1][0], bytes);
        assert_int_equal(memcmp(first, c->act[1][0], bytes) == 0, i == 0 || i == 4);
    }
    guarded_free(b.input);
    guarded_free(first);
    chain_close(c);
    device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_output),
        cmocka_unit_test(test_lent_ends),
        cmocka_unit_test(test_short_batch),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
