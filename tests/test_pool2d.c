/* Max-pool, average pool, upsampling: PyTorch's numbers, then each instruction set against the
 * reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/check.h"

static void on_all_isas(void (*fn)(struct device *d))
{
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        struct device *d = check_device(*isa, 2);
        fn(d);
        device_close(d);
    }
}

/* torch.nn.functional.max_pool2d(x, 3, 2, 1) */
static void maxpool_golden_on(struct device *d)
{
    static const float x[20] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4};
    struct pool_dims s = {1, 1, 4, 5, 3, 3, 2, 2, 1, 1, 2, 3};
    float out[6], dinp[20];
    uint8_t arg[6];
    d->kernels->maxpool_forward(d, out, arg, x, &s);
    check_same("max", out, (float[]){9, 6, 5, 9, 9, 9}, sizeof(out));
    check_same("arg", arg, (uint8_t[]){7, 7, 4, 1, 4, 4}, sizeof(arg));
    d->kernels->maxpool_backward(d, dinp, (float[]){1, 2, 3, 4, 5, 6}, arg, &s, 0);
    static const float want[20] = {0, 0, 0, 0, 3, 5, 0, 2, 0, 0, 0, 0, 5, 0, 6};
    check_same("dinp", dinp, want, sizeof(dinp));
}

static void maxpool_golden(void **state)
{
    on_all_isas(maxpool_golden_on);
}

/* Which NaN wins and what wins among minus infinities, as max_pool2d's indices say. */
static void maxpool_special_on(struct device *d)
{
    const float n = NAN, inf = INFINITY;
    const float x[8] = {n, 1, 2, n, 3, n, n, 5};
    struct pool_dims s = {1, 1, 2, 4, 2, 2, 2, 2, 0, 0, 1, 2};
    float out[9];
    uint8_t arg[9];
    d->kernels->maxpool_forward(d, out, arg, x, &s);
    assert_true(isnan(out[0]) && isnan(out[1]));
    check_same("last NaN", arg, (uint8_t[]){3, 2}, 2);

    const float low[4] = {-inf, -inf, -inf, -inf};
    struct pool_dims padded = {1, 1, 2, 2, 2, 2, 1, 1, 1, 1, 3, 3};
    d->kernels->maxpool_forward(d, out, arg, low, &padded);
    for (int i = 0; i < 9; i++)
        assert_true(out[i] == -inf);
    check_same("first inside", arg, (uint8_t[]){3, 2, 2, 1, 0, 0, 1, 0, 0}, 9);

    const float same[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct pool_dims even = {1, 1, 2, 8, 2, 2, 2, 2, 0, 0, 1, 4};
    d->kernels->maxpool_forward(d, out, arg, same, &even);
    check_same("first of equals", arg, (uint8_t[]){0, 0, 0, 0}, 4);
}

static void maxpool_special(void **state)
{
    on_all_isas(maxpool_special_on);
}

/* A few values, so that there are ties; some NaN and infinities among them. */
static void fill_tied(float *x, size_t n, uint32_t seed)
{
    static const float special[4] = {NAN, INFINITY, -INFINITY, -0.0f};
    struct rng r = rng_make(seed, RNG_TEST, 1, 0);
    for (size_t i = 0; i < n; i++) {
        uint32_t w = rng_word(&r, i);
        x[i] = w % 50 == 0 ? special[w / 50 % 4] : (float)(int)(w / 256 % 7) - 3;
    }
}

static void maxpool_compare(struct device *d, struct device *ref, const struct pool_dims *s)
{
    size_t images = (size_t)s->n * (size_t)s->c, in = images * (size_t)(s->h * s->w);
    size_t outs = images * (size_t)(s->oh * s->ow);
    float *x = guarded_floats(in), *out = guarded_floats(outs), *want = guarded_floats(outs);
    uint8_t *arg = guarded(outs), *want_arg = guarded(outs);
    fill_tied(x, in, 1);
    d->kernels->maxpool_forward(d, out, arg, x, s);
    ref->kernels->maxpool_forward(ref, want, want_arg, x, s);
    check_same("max", out, want, outs * sizeof(float));
    check_same("arg", arg, want_arg, outs);
    poison(out, outs * sizeof(float));
    d->kernels->maxpool_forward(d, out, NULL, x, s);
    check_same("max without arg", out, want, outs * sizeof(float));

    float *dy = random_floats(outs, 2, -1, 1), *dx = guarded_floats(in),
          *want_dx = guarded_floats(in);
    for (int add = 0; add < 2; add++) {
        d->kernels->maxpool_backward(d, dx, dy, arg, s, add);
        ref->kernels->maxpool_backward(ref, want_dx, dy, arg, s, add);
        check_same("dinp", dx, want_dx, in * sizeof(float));
    }
    void *all[] = {x, out, want, arg, want_arg, dy, dx, want_dx};
    for (int i = 0; i < 8; i++)
        guarded_free(all[i]);
}

static void maxpool_shapes(struct device *d, struct device *ref)
{
    static const struct pool_dims shapes[] = {
        {3, 5, 2, 2, 2, 2, 2, 2, 0, 0, 1, 1},      {3, 5, 4, 4, 2, 2, 2, 2, 0, 0, 2, 2},
        {1, 3, 2, 4, 2, 2, 2, 2, 0, 0, 1, 2},      {2, 3, 6, 6, 2, 2, 2, 2, 0, 0, 3, 3},
        {2, 3, 8, 8, 2, 2, 2, 2, 0, 0, 4, 4},      {2, 3, 10, 10, 2, 2, 2, 2, 0, 0, 5, 5},
        {4, 16, 32, 32, 2, 2, 2, 2, 0, 0, 16, 16}, {1, 2, 26, 34, 2, 2, 2, 2, 0, 0, 13, 17},
        {2, 3, 7, 9, 2, 2, 2, 2, 0, 0, 3, 4},      {2, 3, 13, 13, 2, 2, 1, 1, 0, 0, 13, 13},
        {2, 3, 9, 8, 3, 3, 2, 2, 1, 1, 5, 4},      {2, 3, 9, 8, 3, 2, 1, 3, 1, 0, 9, 3},
        {1, 7, 13, 13, 5, 5, 1, 1, 2, 2, 13, 13},  {1, 1, 20, 20, 16, 16, 1, 1, 8, 8, 20, 20},
        {1, 2, 1, 1, 3, 3, 1, 1, 1, 1, 1, 1},      {9, 7, 33, 31, 3, 3, 3, 3, 0, 0, 11, 10},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        maxpool_compare(d, ref, &shapes[i]);
}

static void maxpool_against_reference(void **state)
{
    check_each_isa(maxpool_shapes, 3);
}

/* torch.nn.functional.adaptive_avg_pool2d(x, 3), x = 0.1 i^2 on 5 x 4 */
static void avgpool_golden_on(struct device *d)
{
    static const float want[9] = {1.04999995f, 1.6500001f,  2.45000005f, 8.3166666f, 10.1166658f,
                                  12.1166658f, 21.4500008f, 24.4500008f, 27.6500015f};
    static const float want_dinp[20] = {
        0.25f,        0.75f, 1.25f,       0.75f, 0.916666687f, 2.25f, 3.08333325f, 1.75f,
        0.666666687f, 1.5f,  1.83333325f, 1,     2.41666675f,  5.25f, 6.08333302f, 3.25f,
        1.75f,        3.75f, 4.25f,       2.25f};
    float x[20], out[9], dinp[20];
    for (int i = 0; i < 20; i++)
        x[i] = 0.1f * (float)(i * i);
    d->kernels->avgpool_forward(d, out, x, 1, 1, 5, 4, 3, 3);
    check_nmse("average", out, want, 9, 1e-13);
    d->kernels->avgpool_backward(d, dinp, (float[]){1, 2, 3, 4, 5, 6, 7, 8, 9}, 1, 1, 5, 4, 3, 3,
                                 0);
    check_nmse("dinp", dinp, want_dinp, 20, 1e-13);
}

static void avgpool_golden(void **state)
{
    on_all_isas(avgpool_golden_on);
}

/* Either direction of average pooling and upsampling: in and out elements, and which call. */
struct resample {
    int n, c, h, w, oh, ow; /* oh == 0: upsampling by ow */
};

static void resample_run(struct device *d, const struct resample *s, float *out, float *dinp,
                         const float *x, const float *dy, int add)
{
    const struct kernels *k = d->kernels;
    if (s->oh) {
        k->avgpool_forward(d, out, x, s->n, s->c, s->h, s->w, s->oh, s->ow);
        k->avgpool_backward(d, dinp, dy, s->n, s->c, s->h, s->w, s->oh, s->ow, add);
    } else {
        k->upsample_forward(d, out, x, s->n, s->c, s->h, s->w, s->ow);
        k->upsample_backward(d, dinp, dy, s->n, s->c, s->h, s->w, s->ow, add);
    }
}

static void resample_compare(struct device *d, struct device *ref)
{
    static const struct resample shapes[] = {
        {3, 5, 1, 1, 7, 7},  {64, 33, 1, 1, 7, 7}, {2, 3, 7, 7, 7, 7},   {2, 3, 7, 7, 1, 1},
        {1, 2, 13, 9, 7, 7}, {2, 2, 3, 4, 7, 7},   {2, 3, 20, 60, 3, 2}, {40, 3, 28, 28, 7, 7},
        {1, 1, 1, 5, 2, 3},  {2, 3, 13, 13, 0, 2}, {2, 3, 1, 1, 0, 2},   {1, 40, 26, 26, 0, 2},
        {2, 3, 5, 7, 0, 3},  {2, 3, 5, 7, 0, 1},   {1, 2, 3, 50, 0, 5},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const struct resample *s = &shapes[i];
        size_t images = (size_t)(s->n * s->c), in = images * (size_t)(s->h * s->w);
        size_t outs = images * (size_t)(s->oh ? s->oh * s->ow : s->h * s->w * s->ow * s->ow);
        float *x = random_floats(in, 1, -1, 1), *dy = random_floats(outs, 2, -1, 1);
        float *out = guarded_floats(outs), *want = guarded_floats(outs);
        float *dinp = guarded_floats(in), *want_dinp = guarded_floats(in);
        for (int add = 0; add < 2; add++) {
            resample_run(d, s, out, dinp, x, dy, add);
            resample_run(ref, s, want, want_dinp, x, dy, add);
            if (s->oh)
                check_nmse("average", out, want, outs, 1e-13);
            else
                check_same("upsample", out, want, outs * sizeof(float));
            check_nmse("dinp", dinp, want_dinp, in, 1e-13);
        }
        float *all[] = {x, dy, out, want, dinp, want_dinp};
        for (int k = 0; k < 6; k++)
            guarded_free(all[k]);
    }
}

static void resample_against_reference(void **state)
{
    check_each_isa(resample_compare, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maxpool_golden),
        cmocka_unit_test(maxpool_special),
        cmocka_unit_test(maxpool_against_reference),
        cmocka_unit_test(avgpool_golden),
        cmocka_unit_test(resample_against_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
