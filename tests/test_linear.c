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

#include "tests/linear_check.h"

/* As gemm's: sums of up to 1000 products in float come to 1.3e-13. */
static const double LIMIT = 1e-12;

static void against_reference(struct device *d, struct device *ref)
{
    static const struct linear_shape shapes[] = {
        {1, 1, 1},     {1, 7, 5},     {1, 513, 70},  {2, 33, 19},  {3, 16, 9},     {4, 1030, 6},
        {5, 9, 33},    {6, 100, 12},  {7, 257, 65},  {8, 64, 10},  {9, 31, 121},   {16, 300, 130},
        {17, 48, 257}, {64, 784, 64}, {64, 256, 10}, {65, 20, 40}, {33, 515, 257}, {20, 1040, 128},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        linear_against_reference(d, ref, shapes[i], LIMIT);
}

static void linear_is_the_reference(void **state)
{
    check_each_isa(against_reference, 2);
}

/* Fused or not, an activation gives the same bits; NaN stays NaN. */
static void fused_is_apart(struct device *d, struct device *ref)
{
    static const struct linear_shape shapes[] = {{1, 30, 21}, {3, 40, 9}, {12, 40, 37}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct linear_data x = linear_data_new(shapes[i]);
        x.inp[0] = NAN;
        for (int act = 0; act < ACT_COUNT; act++) {
            float *fused = linear_forward(d, shapes[i], &x, 1, (enum act)act);
            float *apart = linear_forward(d, shapes[i], &x, 1, ACT_NONE);
            d->kernels->act_forward(d, apart, apart, x.n_out, (enum act)act);
            device_sync(d);
            assert_true(isnan(fused[0]) && isnan(apart[0]));
            check_same("fused activation", fused + shapes[i].k, apart + shapes[i].k,
                       (x.n_out - (size_t)shapes[i].k) * sizeof(float));
            guarded_free(fused);
            guarded_free(apart);
        }
        linear_data_free(&x);
    }
}

static void fused_activation_has_the_same_bits(void **state)
{
    check_each_isa(fused_is_apart, 2);
}

static void check_threads(const char *isa, struct linear_shape s)
{
    struct device *one = check_device(isa, 1);
    struct linear_data x = linear_data_new(s);
    float *out = linear_forward(one, s, &x, 1, ACT_RELU),
          *dinp = linear_backward_data(one, s, &x, 0),
          *dweight = linear_backward_weights(one, s, &x, 1, -0.1f);
    for (int threads = 2; threads <= 5; threads += threads == 3 ? 2 : 1) {
        struct device *d = check_device(isa, threads);
        float *out2 = linear_forward(d, s, &x, 1, ACT_RELU),
              *dinp2 = linear_backward_data(d, s, &x, 0),
              *dweight2 = linear_backward_weights(d, s, &x, 1, -0.1f);
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
    linear_data_free(&x);
    device_close(one);
}

static void same_bits_for_any_threads(void **state)
{
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        check_threads(*isa, (struct linear_shape){2, 700, 300});
        check_threads(*isa, (struct linear_shape){40, 700, 300});
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
