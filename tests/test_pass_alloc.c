/*
 * Memory of models and passes: a step allocates nothing, and wherever an allocation fails at start,
 * the call says so in a sentence and leaks nothing. alloc_wrap.h counts and refuses.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "models/build.h"
#include "tests/alloc_wrap.h"
#include "tests/chain.h"

/* Every kind of layer. */
static int open_tiny(struct model **out, int codec)
{
    struct tensor in = tensor_f32(4, (int[]){1, 4, 8, 8});
    int ret = model_begin(out, "tiny", &in);
    if (ret < 0)
        return ret;
    struct model *m = *out;
    ret = model_add(m, conv2d_new(4, 6, 3, 1, 1, true, INIT_VGG), "a");
    if (ret == 0)
        ret = model_add(m, activation_new(ACT_LEAKY), "b");
    if (ret == 0)
        ret = model_add(m, maxpool_new(2, 2, 0, 0), "c");
    if (ret == 0)
        ret = codec_add(m, 6, codec);
    if (ret == 0)
        ret = model_add(m, avgpool_new(3, 3), "d");
    if (ret == 0)
        ret = model_add(m, flatten_new(), "e");
    if (ret == 0)
        ret = model_add(m, dropout_new(0.5f), "f");
    if (ret == 0)
        ret = model_add(m, linear_new(54, 5, INIT_PYTORCH), "g");
    if (ret == 0)
        ret = model_finish(m);
    if (ret < 0)
        model_close(m);
    return ret;
}

static struct model *tiny(void)
{
    struct model *m;
    CHECK(open_tiny(&m, 2) == 0);
    return m;
}

static void test_step_allocates_nothing(void **state)
{
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        struct device *d = check_device(*isa, 2);
        struct chain_how how = {.run = RUN_TRAIN,
                                .batch = 3,
                                .micro = 2,
                                .ncut = 1,
                                .cut = {6},
                                .sgd = {0.1f, 0.9f, 0}};
        struct chain *c = chain_open(tiny, d, &how);
        float *input = random_floats(6 * 4 * 8 * 8, 1, -1, 1);
        static const int32_t labels[] = {0, 1, 2, 3, 4, 0};
        long before = memory.calls;
        for (uint32_t step = 0; step < 3; step++)
            chain_step(c, input, labels, step == 1 ? 4 : 6, step);
        assert_int_equal(memory.calls, before);
        guarded_free(input);
        chain_close(c);
        device_close(d);
        assert_true(memory.calls > 20);
    }
}

static int start(struct device *d, bool registered)
{
    struct model_options opt = model_options_default();
    static float in[2 * 28 * 28];
    struct pass_ends ends = {.in = in};
    struct model *m = NULL;
    struct pass *p = NULL;
    int ret = registered ? model_open(&m, "small", &opt) : open_tiny(&m, 2);
    if (ret < 0)
        return ret;
    ret = model_bind(m, d, RUN_TRAIN, MODEL_GRADS_OWN);
    if (ret == 0)
        ret = pass_open(&p, m, RUN_TRAIN, 2, &ends);
    pass_close(p);
    model_close(m);
    return ret;
}

static void test_nth_allocation_fails(void **state)
{
    struct device *d = check_device("auto", 1);
    for (int registered = 0; registered < 2; registered++) {
        int ret = -1;
        for (long n = 1; ret != 0; n++) {
            long blocks = memory.blocks, pages = memory.pages;
            err_set(EIO, "%s", "");
            memory.fail_at = memory.calls + n;
            ret = start(d, registered);
            assert_int_equal(ret == 0, memory.calls < memory.fail_at);
            assert_true(ret == 0 || ret == -ENOMEM);
            assert_true(ret == 0 || strlen(err_text()) > 10);
            assert_int_equal(memory.blocks, blocks);
            assert_int_equal(memory.pages, pages);
            assert_true(ret != 0 || n > 15);
        }
        memory.fail_at = 0;
    }
    device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step_allocates_nothing),
        cmocka_unit_test(test_nth_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
