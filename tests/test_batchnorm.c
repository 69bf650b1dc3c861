/* Batch-norm: PyTorch's numbers, then each instruction set against the reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/check.h"

enum { N = 2, C = 2, HW = 3, COUNT = N * C * HW };

static const float inp[COUNT] = {0.5f, -1.25f, 2,     3,     3.5f, -0.75f,
                                 1.5f, 0.25f,  -0.5f, 2.25f, -4,   1};
static const float weight[C] = {1.5f, -0.5f}, bias[C] = {0.25f, 2};

/* torch.nn.functional.batch_norm, momentum 0.1, eps 1e-5, running mean (0.1, -0.2) and variance
 * (1, 2) before; dout[i] = i / 4 - 1. */
static const float train_out[COUNT] = {0.363066316f,  -2.01132584f, 2.39825964f, 1.57888913f,
                                       1.4817096f,    2.30773497f,  1.71986187f, 0.0238674283f,
                                       -0.993729234f, 1.72465825f,  2.93940163f, 1.9676069f};
static const float eval_out[COUNT] = {0.849996984f,  -1.77498984f, 3.09998584f, 0.868631959f,
                                      0.691855729f,  2.19445372f,  2.34998941f, 0.474998862f,
                                      -0.649995506f, 1.13379633f,  3.34349942f, 1.575737f};
static const float want_dinp[COUNT] = {
    -1.35486829f, -1.05614173f, -0.641780019f, 0.129402742f,  0.0658231452f,    0.144647419f,
    0.703451991f, 1.01374221f,  1.33559585f,   -0.139650807f, -0.000866977789f, -0.199355528f};

static void golden_on(struct device *d)
{
    float out[COUNT], mean[C], invstd[C], rmean[C] = {0.1f, -0.2f}, rvar[C] = {1, 2};
    const struct kernels *k = d->kernels;
    k->batchnorm_forward_eval(d, out, inp, weight, bias, rmean, rvar, N, C, HW, 1e-5f, ACT_NONE);
    check_nmse("eval", out, eval_out, COUNT, 1e-13);
    k->batchnorm_forward_train(d, out, mean, invstd, rmean, rvar, inp, weight, bias, N, C, HW, 0.1f,
                               1e-5f);
    check_nmse("train", out, train_out, COUNT, 1e-13);
    check_nmse("running mean", rmean, (float[]){0.13166666f, -0.0966666564f}, C, 1e-13);
    check_nmse("running variance", rvar, (float[]){1.04666662f, 2.59416676f}, C, 1e-13);

    float dout[COUNT], dinp[COUNT], dweight[C], dbias[C];
    for (int i = 0; i < COUNT; i++)
        dout[i] = 0.25f * (float)i - 1;
    k->batchnorm_backward_data(d, dinp, dweight, dbias, dout, inp, weight, mean, invstd, N, C, HW,
                               1e-5f, 0);
    check_nmse("dinp", dinp, want_dinp, COUNT, 1e-12);
    check_nmse("dweight", dweight, (float[]){-0.113066293f, -2.38089681f}, C, 1e-13);
    check_nmse("dbias", dbias, (float[]){0, 4.5f}, C, 1e-13);
}

static void golden(void **state)
{
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        struct device *d = check_device(*isa, 2);
        golden_on(d);
        device_close(d);
    }
}

struct sizes {
    int n, c, hw;
};

static const struct sizes shapes[] = {{1, 1, 5},     {3, 5, 1},   {2, 3, 7},
                                      {4, 17, 16},   {2, 2, 513}, {5, 3, 127},
                                      {1, 8, 12345}, {64, 3, 49}, {2, 40, 1024}};

struct arrays {
    float *out, *mean, *invstd, *rmean, *rvar, *dinp, *dweight, *dbias;
};

static struct arrays arrays_new(size_t all, size_t c)
{
    struct arrays a = {guarded_floats(all),
                       guarded_floats(c),
                       guarded_floats(c),
                       random_floats(c, 3, -1, 1),
                       random_floats(c, 4, 0.5f, 2),
                       random_floats(all, 5, -1, 1),
                       guarded_floats(c),
                       guarded_floats(c)};
    return a;
}

static void arrays_free(struct arrays *a)
{
    float *all[] = {a->out, a->mean, a->invstd, a->rmean, a->rvar, a->dinp, a->dweight, a->dbias};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        guarded_free(all[i]);
}

static void compare(struct device *d, struct device *ref, struct sizes s, float offset)
{
    size_t c = (size_t)s.c, all = (size_t)s.n * c * (size_t)s.hw;
    float *x = random_floats(all, 1, offset - 1, offset + 1), *dy = random_floats(all, 2, -1, 1);
    float *w = random_floats(c, 6, 0.5f, 1.5f), *b = random_floats(c, 7, -1, 1);
    struct arrays a[2] = {arrays_new(all, c), arrays_new(all, c)};
    struct device *dev[2] = {d, ref};
    /* The first order of what rounding x - mean costs at this offset. */
    double limit = 1e-12 * (1 + (double)offset * offset);

    for (int add = 0; add < 2; add++) {
        for (int i = 0; i < 2; i++) {
            const struct kernels *k = dev[i]->kernels;
            k->batchnorm_forward_train(dev[i], a[i].out, a[i].mean, a[i].invstd, a[i].rmean,
                                       a[i].rvar, x, w, b, s.n, s.c, s.hw, 0.1f, 1e-5f);
            if (!add)
                poison(a[i].dinp, all * sizeof(float));
            k->batchnorm_backward_data(dev[i], a[i].dinp, a[i].dweight, a[i].dbias, dy, x, w,
                                       a[i].mean, a[i].invstd, s.n, s.c, s.hw, 1e-5f, add);
        }
        check_nmse("train", a[0].out, a[1].out, all, limit);
        for (size_t i = 0; i < c; i++) /* against the spread of the numbers, not the mean near 0 */
            assert_true(fabsf(a[0].mean[i] - a[1].mean[i]) <= 8e-8f * (1 + offset));
        check_nmse("saved invstd", a[0].invstd, a[1].invstd, c, 1e-12);
        check_nmse("running mean", a[0].rmean, a[1].rmean, c, 1e-12);
        check_nmse("running variance", a[0].rvar, a[1].rvar, c, 1e-12);
        check_nmse("dinp", a[0].dinp, a[1].dinp, all, limit);
        check_nmse("dweight", a[0].dweight, a[1].dweight, c, limit);
        check_nmse("dbias", a[0].dbias, a[1].dbias, c, 1e-11);
    }
    for (int act = 0; act < ACT_COUNT; act++) {
        for (int i = 0; i < 2; i++) {
            poison(a[i].out, all * sizeof(float));
            dev[i]->kernels->batchnorm_forward_eval(dev[i], a[i].out, x, w, b, a[1].rmean,
                                                    a[1].rvar, s.n, s.c, s.hw, 1e-5f, act);
        }
        check_nmse("eval", a[0].out, a[1].out, all, 1e-12);
    }
    arrays_free(&a[0]);
    arrays_free(&a[1]);
    guarded_free(x);
    guarded_free(dy);
    guarded_free(w);
    guarded_free(b);
}

static void shapes_compare(struct device *d, struct device *ref)
{
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        compare(d, ref, shapes[i], 0);
        if (shapes[i].n * shapes[i].hw >
            16) /* of two values far from 0 nothing but rounding is left */
            compare(d, ref, shapes[i], 100);
    }
}

static void against_reference(void **state)
{
    check_each_isa(shapes_compare, 3);
}

/* Fused or as a layer of its own, an activation gives the same bits; so do 1 and 3 threads. */
static void same_bits(struct device *d, struct device *ref)
{
    enum { C5 = 5, N3 = 3, HW1 = 3001, ALL = C5 * N3 * HW1 };
    float *x = random_floats(ALL, 1, -3, 3), *w = random_floats(C5, 2, 0.5f, 2);
    float *b = random_floats(C5, 3, -1, 1), *m = random_floats(C5, 4, -1, 1);
    float *v = random_floats(C5, 5, 0.5f, 2), *fused = guarded_floats(ALL),
          *plain = guarded_floats(ALL);
    struct device *one = check_like(d, 1);
    for (int act = 0; act < ACT_COUNT; act++) {
        d->kernels->batchnorm_forward_eval(d, fused, x, w, b, m, v, N3, C5, HW1, 1e-5f, act);
        one->kernels->batchnorm_forward_eval(one, plain, x, w, b, m, v, N3, C5, HW1, 1e-5f,
                                             ACT_NONE);
        one->kernels->act_forward(one, plain, plain, ALL, act);
        check_same("fused activation", fused, plain, ALL * sizeof(float));
    }
    check_close(one);
    float *all[] = {x, w, b, m, v, fused, plain};
    for (int i = 0; i < 7; i++)
        guarded_free(all[i]);
}

static void fused_is_unfused(void **state)
{
    check_each_isa(same_bits, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),
        cmocka_unit_test(against_reference),
        cmocka_unit_test(fused_is_unfused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
