/*
 * Activations, sums, copies, half precision, softmax: known numbers, then each instruction set
 * against the reference, at sizes around the vectors' and the pool's blocks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/check.h"

static const size_t sizes[] = {0,  1,  3,  4,   7,    8,     15,    16,    17,
                               31, 33, 63, 100, 1000, 32767, 32768, 32769, 100003};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static void activations(struct device *d, struct device *ref)
{
    /* Signs, zeros and the far ends of the sigmoid are all in -100 .. 100. */
    for (int i = 0; i < SIZES; i++) {
        size_t n = sizes[i], bytes = n * sizeof(float);
        float *x = random_floats(n, 1, i % 2 ? -2 : -100, i % 2 ? 2 : 100);
        float *dy = random_floats(n, 2, -1, 1), *out = guarded_floats(n), *want = guarded_floats(n);
        for (int act = 0; act < ACT_COUNT; act++) {
            d->kernels->act_forward(d, out, x, n, act);
            ref->kernels->act_forward(ref, want, x, n, act);
            for (size_t k = 0; k < n; k++)
                assert_true(fabsf(out[k] - want[k]) <= (act == ACT_SIGMOID ? 1.2e-7f : 0));
            float *dx = guarded_floats(n), *want_dx = guarded_floats(n);
            for (int add = 0; add < 2; add++) {
                d->kernels->act_backward(d, dx, dy, want, n, act, add);
                ref->kernels->act_backward(ref, want_dx, dy, want, n, act, add);
                check_nmse("backward", dx, want_dx, n, 1e-13);
            }
            /* in place */
            memcpy(dx, x, bytes);
            d->kernels->act_forward(d, dx, dx, n, act);
            check_same("forward in place", dx, out, bytes);
            d->kernels->act_backward(d, want_dx, dy, want, n, act, 0);
            memcpy(dx, dy, bytes);
            d->kernels->act_backward(d, dx, dx, want, n, act, 0);
            check_same("backward in place", dx, want_dx, bytes);
            guarded_free(dx);
            guarded_free(want_dx);
        }
        float *all[] = {x, dy, out, want};
        for (int k = 0; k < 4; k++)
            guarded_free(all[k]);
    }
}

static void activations_against_reference(void **state)
{
    check_each_isa(activations, 3);
}

/* torch.sigmoid, torch.nn.functional.leaky_relu(x, 0.1) */
static void activations_golden(void **state)
{
    static const float x[7] = {-8, -1, -0.1f, 0, 0.1f, 1, 8};
    static const float sigmoid[7] = {0.000335350138f, 0.268941432f, 0.475020796f, 0.5f,
                                     0.524979174f,    0.731058598f, 0.999664664f};
    static const float leaky[7] = {-0.8f, -0.1f, -0.01f, 0, 0.1f, 1, 8};
    static const float relu[7] = {0, 0, 0, 0, 0.1f, 1, 8};
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        struct device *d = check_device(*isa, 1);
        float out[7], n = NAN;
        d->kernels->act_forward(d, out, x, 7, ACT_SIGMOID);
        check_nmse("sigmoid", out, sigmoid, 7, 1e-13);
        d->kernels->act_forward(d, out, x, 7, ACT_LEAKY);
        check_nmse("leaky", out, leaky, 7, 1e-14);
        d->kernels->act_forward(d, out, x, 7, ACT_RELU);
        check_same("relu", out, relu, sizeof(out));
        for (int act = 0; act < ACT_COUNT; act++) {
            d->kernels->act_forward(d, out, &n, 1, act);
            assert_true(isnan(out[0]));
        }
        device_close(d);
    }
}

static void sums(struct device *d, struct device *ref)
{
    for (int i = 0; i < SIZES; i++) {
        size_t n = sizes[i], bytes = n * sizeof(float);
        float *x = random_floats(n, 1, -1, 1), *y = random_floats(n, 2, -1, 1);
        float *want = random_floats(n, 2, -1, 1);
        d->kernels->axpy(d, y, x, n, 0.3f);
        ref->kernels->axpy(ref, want, x, n, 0.3f);
        check_nmse("axpy", y, want, n, 1e-14);
        d->kernels->axpby(d, y, x, n, 0.3f, -1.7f);
        ref->kernels->axpby(ref, want, x, n, 0.3f, -1.7f);
        check_nmse("axpby", y, want, n, 1e-14);
        poison(y, bytes);
        d->kernels->fill(d, y, n, 2.5f);
        for (size_t k = 0; k < n; k++)
            assert_true(y[k] == 2.5f);
        guarded_free(x);
        guarded_free(y);
        guarded_free(want);
    }
}

static void sums_against_reference(void **state)
{
    check_each_isa(sums, 3);
}

static void copies(struct device *d, struct device *ref)
{
    static const struct {
        size_t row, rows, dst, src;
    } shapes[] = {{1, 1, 1, 1},
                  {3, 5, 3, 3},
                  {5, 7, 11, 5},
                  {100, 50, 100, 333},
                  {1000, 70, 1003, 2000},
                  {70001, 3, 70001, 70005},
                  {32768, 4, 40000, 32768},
                  {0, 3, 1, 1},
                  {3, 0, 3, 3}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        size_t dst = shapes[i].dst * (shapes[i].rows + 1),
               src = shapes[i].src * (shapes[i].rows + 1);
        float *x = random_floats(src, 1, -1, 1);
        float *y = random_floats(dst, 2, -1, 1), *want = random_floats(dst, 2, -1, 1);
        for (int add = 0; add < 2; add++) {
            d->kernels->copy_rows(d, y, shapes[i].dst, x, shapes[i].src, shapes[i].row,
                                  shapes[i].rows, add);
            ref->kernels->copy_rows(ref, want, shapes[i].dst, x, shapes[i].src, shapes[i].row,
                                    shapes[i].rows, add);
            check_same("copy_rows", y, want, dst * sizeof(float)); /* the gaps too */
        }
        guarded_free(x);
        guarded_free(y);
        guarded_free(want);
    }
}

static void copies_against_reference(void **state)
{
    check_each_isa(copies, 3);
}

static void half_golden(void **state)
{
    /* value, its half: ties go to even, 65520 is the first to overflow, 2^-25 the last to vanish */
    static const struct {
        float x;
        uint16_t h;
    } known[] = {
        {0, 0},
        {-0.0f, 0x8000},
        {1, 0x3c00},
        {-2, 0xc000},
        {65504, 0x7bff},
        {65519.996f, 0x7bff},
        {65520, 0x7c00},
        {1e10f, 0x7c00},
        {-INFINITY, 0xfc00},
        {0x1p-14f, 0x0400},
        {0x1p-24f, 0x0001},
        {0x1p-25f, 0x0000},
        {0x1.000002p-25f, 0x0001},
        {0x1.8p-24f, 0x0002},
        {0x1.ff8p-15f, 0x03ff},
        {0x1.ffcp-15f, 0x0400},
        {1 + 0x1p-11f, 0x3c00},
        {1 + 0x3p-11f, 0x3c02},
        {0.1f, 0x2e66},
        {3.14159274f, 0x4248},
    };
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        struct device *d = check_device(*isa, 1);
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            uint16_t h[9];
            float x[9];
            for (int k = 0; k < 9; k++)
                x[k] = known[i].x;
            d->kernels->f32_to_f16(d, h, x, 9); /* the vectors and the rest */
            assert_int_equal(h[0], known[i].h);
            assert_int_equal(h[8], known[i].h);
        }
        device_close(d);
    }
}

/* All halves to float and back; then floats of every exponent, and the neighbours of every
 * rounding boundary. */
static void halves(struct device *d, struct device *ref)
{
    enum { ALL = 65536 };
    uint16_t *h = guarded(ALL * 2), *back = guarded(ALL * 2), *want = guarded(ALL * 2);
    float *x = guarded_floats(ALL), *want_x = guarded_floats(ALL);
    for (int i = 0; i < ALL; i++)
        h[i] = (uint16_t)i;
    for (size_t n = ALL; n > ALL - 9; n--) { /* each instruction set's rest loop */
        d->kernels->f16_to_f32(d, x, h, n);
        ref->kernels->f16_to_f32(ref, want_x, h, n);
        check_same("to float", x, want_x, n * sizeof(float));
        d->kernels->f32_to_f16(d, back, x, n);
        for (size_t i = 0; i < n; i++) {
            int signaling = (i & 0x7c00) == 0x7c00 && (i & 0x3ff) && !(i & 0x200);
            assert_int_equal(back[i], signaling ? i | 0x200 : i);
        }
    }
    struct rng r = rng_make(1, RNG_TEST, 0, 0);
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < ALL; i++) {
            uint32_t bits = rng_word(&r, (uint64_t)round * ALL + (uint64_t)i);
            if (round % 2) /* at, just below and just above the middle between two halves */
                bits = (bits & ~0x1fffu) + 0x1000u + (uint32_t)(i % 3) - 1;
            if (round % 4 < 2) /* the exponents that a half has */
                bits = (bits & 0x807fffffu) | (100 + bits / 128 % 45) << 23;
            memcpy(&x[i], &bits, sizeof(bits));
        }
        d->kernels->f32_to_f16(d, back, x, ALL);
        ref->kernels->f32_to_f16(ref, want, x, ALL);
        check_same("to half", back, want, ALL * 2);
    }
    void *all[] = {h, back, want, x, want_x};
    for (int i = 0; i < 5; i++)
        guarded_free(all[i]);
}

static void halves_against_reference(void **state)
{
    check_each_isa(halves, 2);
}

/* torch.nn.functional.cross_entropy: the losses one by one, the gradient of their mean. */
static void softmax_golden(void **state)
{
    static const float x[9] = {1, 2, 3, 1000, -1000, 0, -0.5f, 0.25f, 0.125f};
    static const int32_t labels[3] = {2, 1, 0};
    static const float want[3] = {0.407605946f, 2000, 1.60648274f};
    static const float want_dx[9] = {0.0300101936f, 0.0815761685f, -0.111586332f,
                                     0.333333343f,  -0.333333343f, 0,
                                     -0.266469359f, 0.141551033f,  0.124918342f};
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        struct device *d = check_device(*isa, 1);
        float loss[3], dx[9];
        d->kernels->softmax_xent(d, loss, dx, x, labels, 3, 3, 1.0f / 3);
        for (int i = 0; i < 3; i++)
            assert_true(fabsf(loss[i] - want[i]) <= 2e-7f * want[i]);
        for (int i = 0; i < 9; i++)
            assert_true(fabsf(dx[i] - want_dx[i]) <= 1e-7f);
        device_close(d);
    }
}

static void softmax(struct device *d, struct device *ref)
{
    static const int shapes[][2] = {{1, 1},  {1, 2},  {64, 10},   {5, 15},
                                    {5, 16}, {5, 17}, {64, 1000}, {3, 1003}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        int n = shapes[i][0], classes = shapes[i][1];
        size_t all = (size_t)n * (size_t)classes, rows = (size_t)n;
        float *x = random_floats(all, 1, -20, 20), *loss = guarded_floats(rows);
        float *want = guarded_floats(rows), *dx = guarded_floats(all),
              *want_dx = guarded_floats(all);
        int32_t *labels = guarded(rows * sizeof(*labels));
        for (int b = 0; b < n; b++)
            labels[b] = b * 7 % classes;
        d->kernels->softmax_xent(d, loss, dx, x, labels, n, classes, 0.25f);
        ref->kernels->softmax_xent(ref, want, want_dx, x, labels, n, classes, 0.25f);
        for (int b = 0; b < n; b++)
            assert_true(fabsf(loss[b] - want[b]) <= 2e-7f * (1 + want[b]));
        check_nmse("dlogits", dx, want_dx, all, 1e-12);
        poison(want, rows * sizeof(float));
        d->kernels->softmax_xent(d, want, NULL, x, labels, n, classes, 0.25f);
        check_same("loss alone", want, loss, rows * sizeof(float));
        x[0] = NAN;
        d->kernels->softmax_xent(d, loss, dx, x, labels, n, classes, 0.25f);
        assert_true(isnan(loss[0]));
        void *arrays[] = {x, loss, want, dx, want_dx, labels};
        for (int k = 0; k < 6; k++)
            guarded_free(arrays[k]);
    }
}

static void softmax_against_reference(void **state)
{
    check_each_isa(softmax, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_golden),
        cmocka_unit_test(activations_against_reference),
        cmocka_unit_test(sums_against_reference),
        cmocka_unit_test(copies_against_reference),
        cmocka_unit_test(half_golden),
        cmocka_unit_test(halves_against_reference),
        cmocka_unit_test(softmax_golden),
        cmocka_unit_test(softmax_against_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
