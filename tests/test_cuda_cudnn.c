/*
 * Convolutions, pools and batch-norm through cuDNN: what the engine hands it, what it adds to its
 * results, and which shapes are never cuDNN's. Of an emulated GPU that is tests/emu's; on a real
 * one, NVIDIA's library where it is.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "kernels/cuda/device_cuda.h"
#include "tests/conv_check.h"

#ifdef EMULATED
#include <cudnn.h>
static int calls(void)
{
    return emu_cudnn_now.calls;
}
#else
/* A real library tells no count; each look finds one more. */
static int calls(void)
{
    static int looks;
    return ++looks;
}
#endif

static struct device *gpu(void)
{
    struct device *d = check_cuda();
    if (!d)
        skip();
    if (!cuda_of(d)->cudnn && device_cuda_use_cudnn(d, NULL) < 0) {
#ifdef EMULATED
        fail_msg("%s", err_text());
#else
        print_message("%s\n", err_text());
        skip();
#endif
    }
    return d;
}

static void cudnn_is_the_reference(void **state)
{
    /* n, c, h, w, k, kh, kw, sh, sw, ph, pw */
    static const struct conv_case cases[] = {
        {2, 3, 8, 8, 4, 3, 3, 1, 1, 1, 1},   {3, 4, 6, 9, 9, 3, 5, 1, 1, 2, 0},
        {2, 3, 11, 10, 7, 3, 3, 2, 1, 1, 1}, {1, 5, 7, 6, 17, 1, 1, 1, 1, 0, 0},
        {2, 4, 5, 6, 7, 2, 2, 2, 2, 0, 0},
    };
    struct device *d = gpu(), *ref = check_device("reference", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int transposed = 0; transposed < 2; transposed++) {
            int before = calls();
            conv_against_reference(d, ref, cases[i], transposed);
            assert_true(calls() > before);
        }
    device_close(ref);
}

/* A plan is made with the work area; what a call then queues is all that it does. */
static void results_are_the_same_twice(void **state)
{
    struct device *d = gpu();
    struct conv_data x = conv_data_new((struct conv_case){2, 6, 9, 9, 8, 3, 3, 1, 1, 1, 1}, 0);
    float *one = conv_backward_weights(d, &x, 1, -0.5f),
          *two = conv_backward_weights(d, &x, 1, -0.5f);
    check_same("weights' gradients by cuDNN", two, one, (x.n_weight + x.n_bias) * sizeof(*one));
    guarded_free(one);
    guarded_free(two);
    conv_data_free(&x);
}

/* Whether fn's work was cuDNN's. A real library does not tell. */
static void expect_calls(const char *what, int before, int wanted)
{
    int got = calls() - before;
#ifdef EMULATED
    if (got != wanted)
        fail_msg("%s: %d calls of cuDNN, not %d", what, got, wanted);
#else
    assert_true(got > 0);
#endif
}

/* Bits: a maximum is one of what was there. */
static void maxima_are_the_reference(void **state)
{
    (void)state;
    static const struct {
        struct pool_dims s;
        int cudnn;
    } cases[] = {
        {{2, 3, 8, 6, 2, 2, 2, 2, 0, 0, 4, 3}, 1},
        {{1, 4, 9, 7, 3, 3, 2, 2, 1, 1, 5, 4}, 1},
        {{2, 2, 7, 7, 5, 5, 1, 1, 2, 2, 7, 7}, 1},
        {{1, 3, 7, 9, 2, 2, 2, 2, 0, 0, 3, 4}, 1},
        {{1, 2, 6, 5, 3, 2, 1, 2, 0, 0, 4, 2}, 1},
        /* reaching behind the image: darknet's 2 x 2 of stride 1, and a window too many */
        {{2, 2, 7, 7, 2, 2, 1, 1, 0, 0, 7, 7}, 0},
        {{1, 2, 7, 7, 2, 2, 2, 2, 0, 0, 4, 4}, 0},
        /* windows that see padding alone */
        {{1, 1, 4, 4, 2, 2, 1, 1, 2, 2, 7, 7}, 0},
    };
    struct device *d = gpu(), *ref = check_device("reference", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int train = 0; train < 2; train++) {
            const struct pool_dims *s = &cases[i].s;
            size_t ins = (size_t)(s->n * s->c * s->h * s->w);
            size_t outs = (size_t)(s->n * s->c * s->oh * s->ow);
            float *inp = random_floats(ins, 3, -1, 1);
            for (size_t k = 0; k < ins; k++)
                inp[k] = inp[k] < 0 ? 0 : inp[k]; /* equal ones, as behind a ReLU */
            inp[ins / 2] = NAN;
            inp[ins / 3] = -INFINITY;
            float *got = guarded_floats(outs), *want = guarded_floats(outs);
            uint8_t *arg = guarded(outs);
            d->kernels->maxpool_plan(d, s, train);
            int before = calls();
            d->kernels->maxpool_forward(d, got, train ? arg : NULL, inp, s);
            expect_calls("max-pool", before, cases[i].cudnn && !train);
            ref->kernels->maxpool_forward(ref, want, NULL, inp, s);
            for (size_t k = 0; k < outs; k++)
                if (got[k] != want[k] && !(isnan(got[k]) && isnan(want[k])))
                    fail_msg("case %zu: output %zu is %g, not %g", i, k, got[k], want[k]);
            guarded_free(arg);
            guarded_free(inp);
            guarded_free(got);
            guarded_free(want);
        }
    device_close(ref);
}

static void averages_are_the_reference(void **state)
{
    (void)state;
    static const int cases[][7] = {
        /* n, c, h, w, oh, ow, cuDNN's */
        {2, 3, 8, 6, 4, 2, 1}, {1, 5, 7, 7, 1, 1, 1}, {2, 2, 5, 4, 5, 4, 1},
        {2, 3, 7, 7, 3, 2, 0}, {1, 4, 1, 1, 7, 7, 0},
    };
    struct device *d = gpu(), *ref = check_device("reference", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const int *s = cases[i], images = s[0] * s[1];
        size_t ins = (size_t)(images * s[2] * s[3]), outs = (size_t)(images * s[4] * s[5]);
        float *inp = random_floats(ins, 1, -1, 1), *dout = random_floats(outs, 2, -1, 1);
        float *got = guarded_floats(outs), *want = guarded_floats(outs);
        d->kernels->avgpool_plan(d, s[0], s[1], s[2], s[3], s[4], s[5], 1);
        int before = calls();
        d->kernels->avgpool_forward(d, got, inp, s[0], s[1], s[2], s[3], s[4], s[5]);
        ref->kernels->avgpool_forward(ref, want, inp, s[0], s[1], s[2], s[3], s[4], s[5]);
        check_nmse("average pool", got, want, outs, 1e-13);
        for (int add = 0; add < 2; add++) {
            float *dgot = guarded_floats(ins), *dwant = guarded_floats(ins);
            if (add) {
                memcpy(dgot, inp, ins * sizeof(float));
                memcpy(dwant, inp, ins * sizeof(float));
            }
            d->kernels->avgpool_backward(d, dgot, dout, s[0], s[1], s[2], s[3], s[4], s[5], add);
            ref->kernels->avgpool_backward(ref, dwant, dout, s[0], s[1], s[2], s[3], s[4], s[5],
                                           add);
            check_nmse("average pool backward", dgot, dwant, ins, 1e-13);
            guarded_free(dgot);
            guarded_free(dwant);
        }
        expect_calls("average pool", before, 3 * s[6]);
        guarded_free(inp);
        guarded_free(dout);
        guarded_free(got);
        guarded_free(want);
    }
    device_close(ref);
}

enum { WEIGHT, BIAS, MEAN, VAR, SAVED_MEAN, SAVED_INVSTD, DWEIGHT, DBIAS, PER_CHANNEL };

struct norm {
    float *out, *dinp, *of[PER_CHANNEL];
};

/* Training's forward and backward, then evaluation by what training left. */
static struct norm norm_run(struct device *d, const float *inp, const float *dout, int n, int c,
                            int hw, int add, enum act act, float *eval)
{
    size_t all = (size_t)n * (size_t)(c * hw);
    const struct kernels *k = d->kernels;
    struct norm r = {.out = guarded_floats(all), .dinp = guarded_floats(all)};
    for (int i = 0; i < PER_CHANNEL; i++)
        r.of[i] = random_floats((size_t)c, (uint32_t)(10 + i), 0.5f, 2);
    if (add)
        memcpy(r.dinp, inp, all * sizeof(float));
    k->batchnorm_forward_train(d, r.out, r.of[SAVED_MEAN], r.of[SAVED_INVSTD], r.of[MEAN],
                               r.of[VAR], inp, r.of[WEIGHT], r.of[BIAS], n, c, hw, 0.1f, 1e-3f);
    k->batchnorm_backward_data(d, r.dinp, r.of[DWEIGHT], r.of[DBIAS], dout, inp, r.of[WEIGHT],
                               r.of[SAVED_MEAN], r.of[SAVED_INVSTD], n, c, hw, 1e-3f, add);
    k->batchnorm_forward_eval(d, eval, inp, r.of[WEIGHT], r.of[BIAS], r.of[MEAN], r.of[VAR], n, c,
                              hw, 1e-3f, act);
    return r;
}

static void norm_free(struct norm *r)
{
    guarded_free(r->out);
    guarded_free(r->dinp);
    for (int i = 0; i < PER_CHANNEL; i++)
        guarded_free(r->of[i]);
}

static void batchnorm_is_the_reference(void **state)
{
    (void)state;
    static const int cases[][4] = {/* n, c, hw, of training's calls cuDNN's */
                                   {4, 3, 20, 2},
                                   {1, 5, 7, 2},
                                   {3, 2, 1, 2},
                                   {1, 4, 1, 0}};
    struct device *d = gpu(), *ref = check_device("reference", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int act = 0; act < ACT_COUNT; act++) {
            int n = cases[i][0], c = cases[i][1], hw = cases[i][2], add = act % 2;
            size_t all = (size_t)n * (size_t)(c * hw);
            float *inp = random_floats(all, 1, -1, 3), *dout = random_floats(all, 2, -1, 1);
            float *eval = guarded_floats(all), *want_eval = guarded_floats(all);
            d->kernels->batchnorm_plan(d, n, c, hw, 1e-3f, 0);
            d->kernels->batchnorm_plan(d, n, c, hw, 1e-3f, 1);
            int before = calls();
            struct norm got = norm_run(d, inp, dout, n, c, hw, add, (enum act)act, eval);
            expect_calls("batch-norm", before, 1 + cases[i][3]);
            struct norm want = norm_run(ref, inp, dout, n, c, hw, add, (enum act)act, want_eval);
            check_nmse("training", got.out, want.out, all, 1e-11);
            check_nmse("gradient", got.dinp, want.dinp, all, 1e-9);
            check_nmse("evaluation", eval, want_eval, all, 1e-11);
            for (int k = 0; k < PER_CHANNEL; k++)
                if (k != DWEIGHT || n * hw > 1) /* of one element it is 0 but for rounding */
                    check_nmse("a channel's numbers", got.of[k], want.of[k], (size_t)c, 1e-10);
            norm_free(&got);
            norm_free(&want);
            guarded_free(inp);
            guarded_free(dout);
            guarded_free(eval);
            guarded_free(want_eval);
        }
    device_close(ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cudnn_is_the_reference),     cmocka_unit_test(results_are_the_same_twice),
        cmocka_unit_test(maxima_are_the_reference),   cmocka_unit_test(averages_are_the_reference),
        cmocka_unit_test(batchnorm_is_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
