/*
 * Training and inference on a GPU, whole and split over processes: the numbers of the CPU's
 * reference within rounding; the same bits run to run, split or whole, by graphs or without, with
 * memory of its own or the CPU's. The emulated GPU runs what is queued as late, or in as odd an
 * order, as a real one may.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/cuda_run.h"

/* On the CPU by plain loops into dir[0], on the GPU into dir[1]. */
static void check_reference(struct split_run r, double loss_limit, double weights_limit)
{
    struct outcome want, got;
    enum math math = r.math;
    size_t n, m;
    r.isa = "reference";
    r.math = MATH_FP32;
    run_apart(&r, "", "", &want);
    r.isa = "cuda";
    r.math = math;
    r.dir = dir[1];
    run_apart(&r, math == MATH_FP32 ? "" : "cc=80", "", &got);
    for (int i = 0; i < r.steps; i++)
        if (!(fabs(got.loss[i] - want.loss[i]) <= loss_limit * want.loss[i]))
            fail_msg("loss of step %d is %.9g, not %.9g", i, got.loss[i], want.loss[i]);
    float *y = numbers_of(&r, &n);
    r.dir = dir[0];
    float *x = numbers_of(&r, &m);
    assert_int_equal(n, m);
    check_close_numbers("weights", y, x, n, weights_limit);
    free(x);
    free(y);
}

static void test_tiny_reference(void **state)
{
    (void)state;
    check_reference(tiny_run("", 1), 1e-5, 1e-10);
    struct split_run r = tiny_run("", 2);
    r.sgd = (struct sgd){.lr = 0.05f, .momentum = 0.9f, .weight_decay = 1e-3f};
    check_reference(r, 1e-5, 1e-10);
}

static void test_small_reference(void **state)
{
    (void)state;
    struct split_run r = tiny_run("", 1);
    r.build = NULL;
    r.model = "small";
    r.steps = 3;
    check_reference(r, 1e-5, 1e-10);
}

/* Each variant's bits are those of one run of the whole model. */
static void check_variants(int k, int steps, enum math math, const struct variant variants[],
                           size_t n)
{
    struct split_run r = tiny_run("cuda", k);
    struct outcome want, got;
    r.math = math;
    r.steps = steps;
    run_apart(&r, math == MATH_FP32 ? "streams=lazy" : "cc=80,streams=lazy", "", &want);
    assert_true(want.loss[0] != want.loss[1] && isfinite(want.loss[0]));
    for (size_t i = 0; i < n; i++) {
        const struct variant *v = &variants[i];
        struct split_run split = r;
        split.dir = dir[1];
        split.transport = v->transport;
        split.ncut = v->ncut;
        memcpy(split.cut, v->cut, sizeof(v->cut));
        run_apart(&split, v->emu, v->graphs, &got);
        check_same_training(v->what, &split, &got, &want);
    }
}

static void test_one_micro_batch(void **state)
{
    (void)state;
    static const struct variant v[] = {
        {"again", "streams=rand", "", NET_AUTO, 0, {0}},
        {"no graphs", "streams=rand", "0", NET_AUTO, 0, {0}},
        {"integrated", "integrated", "", NET_AUTO, 0, {0}},
        {"the driver's pages, cut at 6", "no-register", "", NET_AUTO, 1, {6}},
        {"the driver's pages, integrated", "integrated,fail-register", "", NET_POLL, 1, {9}},
        {"source and worker", "streams=rand,seed=2", "", NET_AUTO, 1, {0}},
        {"cut at 3", "streams=eager", "", NET_POLL, 1, {3}},
        {"cut at 6 and 10", "streams=lazy", "", NET_AUTO, 2, {6, 10}},
        {"integrated, cut at 0 and 9", "integrated", "0", NET_AUTO, 2, {0, 9}},
    };
    check_variants(1, 6, MATH_FP32, v, sizeof(v) / sizeof(v[0]));
}

static void test_four_micro_batches(void **state)
{
    (void)state;
    static const struct variant v[] = {
        {"no graphs", "streams=rand", "0", NET_AUTO, 0, {0}},
        {"cut at 6 and 12", "streams=rand,seed=3", "", NET_AUTO, 2, {6, 12}},
        {"integrated, cut at 0 and 6", "integrated", "", NET_AUTO, 2, {0, 6}},
        {"source, cut at 9 and 11", "streams=lazy", "", NET_POLL, 3, {0, 9, 11}},
    };
    check_variants(4, 6, MATH_FP32, v, sizeof(v) / sizeof(v[0]));
}

/*
 * Products of operands with 11 bits are off by 2.6e-4 (test_cuda_tensor.c), and so are what a layer
 * gives and its gradients, some layers a few times that. A loss moves by the mean of what its
 * logits do; of the weights a few steps' updates, a hundredth of them here, are off.
 */
static void check_math(enum math math)
{
    static const struct variant v[] = {
        {"again, no graphs, integrated", "cc=80,integrated", "0", NET_AUTO, 0, {0}},
        {"source, cut at 6 and 10", "cc=80,streams=rand,seed=2", "", NET_AUTO, 3, {0, 6, 10}},
    };
    struct split_run r = tiny_run("", 1);
    r.math = math;
    r.steps = 3;
    check_reference(r, 2e-4, 1e-7);
    r.build = NULL;
    r.model = "small";
    check_reference(r, 2e-4, 1e-7);
    check_variants(2, 3, math, v, sizeof(v) / sizeof(v[0]));
}

static void test_tf32(void **state)
{
    (void)state;
    check_math(MATH_TF32);
}

static void test_fp16(void **state)
{
    (void)state;
    check_math(MATH_FP16);
}

/* f16 on the wire: conversions on the device, of what was copied there. */
static void test_half(void **state)
{
    (void)state;
    struct split_run r = tiny_run("cuda", 2);
    struct outcome want, got;
    r.wire = DTYPE_F16;
    r.ncut = 2;
    memcpy(r.cut, (int[]){0, 6}, 2 * sizeof(int));
    run_apart(&r, "streams=rand", "", &want);
    r.dir = dir[1];
    run_apart(&r, "integrated", "", &got);
    check_same_training("integrated", &r, &got, &want);
    struct split_run whole = tiny_run("cuda", 2);
    run_apart(&whole, "", "", &want);
    assert_true(got.loss[0] != want.loss[0] && fabs(got.loss[0] - want.loss[0]) < 1e-2);
}

static void test_inference(void **state)
{
    (void)state;
    struct split_run r = tiny_run("reference", 1);
    struct outcome reference, want, got;
    r.in_flight = 1;
    run_apart(&r, "", "", &reference);
    r.isa = "cuda";
    run_apart(&r, "streams=lazy", "", &want);
    assert_int_equal(want.npredictions, reference.npredictions);
    check_close_numbers("predictions", want.predictions, reference.predictions, want.npredictions,
                        1e-11);
    static const struct variant v[] = {
        {"no graphs", "streams=rand", "0", NET_AUTO, 0, {0}},
        {"integrated", "integrated", "", NET_AUTO, 0, {0}},
        {"source", "streams=rand,seed=2", "", NET_AUTO, 1, {0}},
        {"cut at 6 and 10", "streams=rand", "", NET_POLL, 2, {6, 10}},
        {"integrated, cut at 0 and 9", "integrated", "", NET_AUTO, 2, {0, 9}},
    };
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct split_run split = r;
        split.in_flight = 3;
        split.transport = v[i].transport;
        split.ncut = v[i].ncut;
        memcpy(split.cut, v[i].cut, sizeof(v[i].cut));
        run_apart(&split, v[i].emu, v[i].graphs, &got);
        check_same_predictions(v[i].what, &got, &want);
    }
}

/*
 * Through cuDNN: the reference's numbers, in recordings and without, split and whole the same bits,
 * the short batch, which is our own kernels', among them.
 */
static void test_cudnn(void **state)
{
    (void)state;
#ifdef EMULATED
    static const struct variant v[] = {
        {"no graphs", "streams=rand", "0", NET_AUTO, 0, {0}},
        {"source, cut at 3", "streams=lazy", "", NET_AUTO, 2, {0, 3}},
        {"integrated, cut at 6", "integrated", "", NET_AUTO, 1, {6}},
    };
    struct split_run r = tiny_run("cuda", 2);
    struct outcome own, want, got;
    run_apart(&r, "", "", &own);
    r.cudnn = true;
    check_reference(r, 1e-5, 1e-10);
    run_apart(&r, "", "", &want);
    assert_memory_not_equal(want.loss, own.loss, sizeof(double) * (size_t)r.steps);
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct split_run split = r;
        split.dir = dir[1];
        split.transport = v[i].transport;
        split.ncut = v[i].ncut;
        memcpy(split.cut, v[i].cut, sizeof(v[i].cut));
        run_apart(&split, v[i].emu, v[i].graphs, &got);
        check_same_training(v[i].what, &split, &got, &want);
    }
#else
    skip(); /* whether there is cuDNN is not known before a process has used the GPU */
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny_reference),
        cmocka_unit_test(test_small_reference),
        cmocka_unit_test(test_one_micro_batch),
        cmocka_unit_test(test_four_micro_batches),
        cmocka_unit_test(test_cudnn),
        cmocka_unit_test(test_tf32),
        cmocka_unit_test(test_fp16),
        cmocka_unit_test(test_half),
        cmocka_unit_test(test_inference),
    };
    log_set_level(LOG_WARNING);
    return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
