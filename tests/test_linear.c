/*
 * Linear layers of each instruction set against the reference: few and many samples, odd sizes,
 * bias or none, each activation, add, scale; and the same bits for any number of threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/check.h"

/* As gemm's: sums of up to 1000 products in float come to 1.3e-13. */
static const double LIMIT = 1e-12;

struct shape {
    int n, c, k;
};

struct data {
    size_t n_inp, n_out, n_weight, n_bias;
    float *inp, *out, *weight, *bias; /* out doubles as the gradient of the output */
};

static struct data data_new(struct shape s)
{
    struct data x = {.n_inp = (size_t)s.n * (size_t)s.c,
                     .n_out = (size_t)s.n * (size_t)s.k,
                     .n_weight = (size_t)s.k * (size_t)s.c,
                     .n_bias = (size_t)s.k};
    x.inp = random_floats(x.n_inp, 1, -1, 1);
    x.out = random_floats(x.n_out, 2, -1, 1);
    x.weight = random_floats(x.n_weight, 3, -1, 1);
    x.bias = random_floats(x.n_bias, 4, -1, 1);
    return x;
}

static void data_free(struct data *x)
{
    guarded_free(x->inp);
    guarded_free(x->out);
    guarded_free(x->weight);
    guarded_free(x->bias);
}

/* A guarded copy, or poison. */
static float *copy_of(const float *x, size_t n)
{
    float *y = guarded_floats(n);
    if (x)
        memcpy(y, x, n * sizeof(*y));
    return y;
}

static float *forward(struct device *d, struct shape s, const struct data *x, int bias,
                      enum act act)
{
    float *out = guarded_floats(x->n_out);
    void *work = guarded(d->kernels->linear_work(d, s.n, s.c, s.k));
    d->kernels->linear_forward(d, out, x->inp, x->weight, bias ? x->bias : NULL, s.n, s.c, s.k, act,
                               work);
    device_sync(d);
    guarded_free(work);
    return out;
}

static float *backward_data(struct device *d, struct shape s, const struct data *x, int add)
{
    float *dinp = copy_of(add ? x->inp : NULL, x->n_inp);
    void *work = guarded(d->kernels->linear_work(d, s.n, s.c, s.k));
    d->kernels->linear_backward_data(d, dinp, x->out, x->weight, s.n, s.c, s.k, add, work);
    device_sync(d);
    guarded_free(work);
    return dinp;
}

/* dweight, with dbias behind it. */
static float *backward_weights(struct device *d, struct shape s, const struct data *x, int bias,
                               float scale)
{
    float *dweight = copy_of(x->weight, x->n_weight), *dbias = copy_of(x->bias, x->n_bias);
    void *work = guarded(d->kernels->linear_work(d, s.n, s.c, s.k));
    d->kernels->linear_backward_weights(d, dweight, bias ? dbias : NULL, x->out, x->inp, s.n, s.c,
                                        s.k, scale, work);
    device_sync(d);
    guarded_free(work);
    float *both = guarded_floats(x->n_weight + x->n_bias);
    memcpy(both, dweight, x->n_weight * sizeof(*both));
    memcpy(both + x->n_weight, dbias, x->n_bias * sizeof(*both));
    guarded_free(dweight);
    guarded_free(dbias);
    return both;
}

static void compare(const char *op, struct device *d, struct shape s, float *got, float *want,
                    size_t count)
{
    char what[128];
    snprintf(what, sizeof(what), "%s linear %s n %d c %d k %d", d->kernels->name, op, s.n, s.c,
             s.k);
    check_nmse(what, got, want, count, LIMIT);
    guarded_free(got);
    guarded_free(want);
}

static void against_reference(struct device *d, struct device *ref)
{
    static const struct shape shapes[] = {
        {1, 1, 1},     {1, 7, 5},     {1, 513, 70},  {2, 33, 19},  {3, 16, 9},     {4, 1030, 6},
        {5, 9, 33},    {6, 100, 12},  {7, 257, 65},  {8, 64, 10},  {9, 31, 121},   {16, 300, 130},
        {17, 48, 257}, {64, 784, 64}, {64, 256, 10}, {65, 20, 40}, {33, 515, 257}, {20, 1040, 128},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct shape s = shapes[i];
        struct data x = data_new(s);
        for (int act = 0; act < ACT_COUNT; act++)
            compare("forward", d, s, forward(d, s, &x, act % 2, (enum act)act),
                    forward(ref, s, &x, act % 2, (enum act)act), x.n_out);
        compare("forward with bias", d, s, forward(d, s, &x, 1, ACT_RELU),
                forward(ref, s, &x, 1, ACT_RELU), x.n_out);
        for (int add = 0; add < 2; add++) {
            compare("backward data", d, s, backward_data(d, s, &x, add),
                    backward_data(ref, s, &x, add), x.n_inp);
            compare("backward weights", d, s, backward_weights(d, s, &x, add, add ? 1 : -0.03f),
                    backward_weights(ref, s, &x, add, add ? 1 : -0.03f), x.n_weight + x.n_bias);
        }
        data_free(&x);
    }
}

static void linear_is_the_reference(void **state)
{
    check_each_isa(against_reference, 2);
}

/* Fused or not, an activation gives the same bits; NaN stays NaN. */
static void fused_is_apart(struct device *d, struct device *ref)
{
    static const struct shape shapes[] = {{1, 30, 21}, {3, 40, 9}, {12, 40, 37}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct data x = data_new(shapes[i]);
        x.inp[0] = NAN;
        for (int act = 0; act < ACT_COUNT; act++) {
            float *fused = forward(d, shapes[i], &x, 1, (enum act)act);
            float *apart = forward(d, shapes[i], &x, 1, ACT_NONE);
            d->kernels->act_forward(d, apart, apart, x.n_out, (enum act)act);
            device_sync(d);
            assert_true(isnan(fused[0]) && isnan(apart[0]));
            check_same("fused activation", fused + shapes[i].k, apart + shapes[i].k,
                       (x.n_out - (size_t)shapes[i].k) * sizeof(float));
            guarded_free(fused);
            guarded_free(apart);
        }
        data_free(&x);
    }
}

static void fused_activation_has_the_same_bits(void **state)
{
    check_each_isa(fused_is_apart, 2);
}

static void check_threads(const char *isa, struct shape s)
{
    struct device *one = check_device(isa, 1);
    struct data x = data_new(s);
    float *out = forward(one, s, &x, 1, ACT_RELU), *dinp = backward_data(one, s, &x, 0),
          *dweight = backward_weights(one, s, &x, 1, -0.1f);
    for (int threads = 2; threads <= 5; threads += threads == 3 ? 2 : 1) {
        struct device *d = check_device(isa, threads);
        float *out2 = forward(d, s, &x, 1, ACT_RELU), *dinp2 = backward_data(d, s, &x, 0),
              *dweight2 = backward_weights(d, s, &x, 1, -0.1f);
        check_same("linear forward by threads", out2, out, x.n_out * sizeof(*out));
        check_same("linear backward data by threads", dinp2, dinp, x.n_inp * sizeof(*out));
        check_same("linear backward weights by threads", dweight2, dweight,
                   (x.n_weight + x.n_bias) * sizeof(*out));
        guarded_free(out2);
        guarded_free(dinp2);
        guarded_free(dweight2);
        device_close(d);
    }
    guarded_free(out);
    guarded_free(dinp);
    guarded_free(dweight);
    data_free(&x);
    device_close(one);
}

static void same_bits_for_any_threads(void **state)
{
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        check_threads(*isa, (struct shape){2, 700, 300});
        check_threads(*isa, (struct shape){40, 700, 300});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_the_reference),
        cmocka_unit_test(fused_activation_has_the_same_bits),
        cmocka_unit_test(same_bits_for_any_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
