/*
 * Products by tensor cores: the same tables and comparisons as in float, each tile, whole and
 * split, every operand. The reference is given operands rounded as these kernels round theirs
 * (rounded_reference.h), so that a rounding of another kind, or one too many, is as plain as a term
 * that is missing. Then what rounding costs against the reference itself, and the ends of the range
 * of a half.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "kernels/cuda/device_cuda.h"
#include "kernels/cuda/gemm_plan.h"
#include "tests/conv_check.h"
#include "tests/gemm_check.h"
#include "tests/linear_check.h"
#include "tests/rounded_reference.h"

/*
 * Products of rounded operands are exact; what is left are the sums, which hardware rounds towards
 * zero: 2^-24 of a sum a time on average, always the same way, at most once every four products. It
 * comes to (depth / 4 * 2^-24)^2 where all sums are of one size, and to 1e-12 of few terms, whose
 * sums may cancel. The operands' rounding itself would be 7e-8, a missing term of 1000 1e-3.
 */
static double limit_of(int depth)
{
    double error = 0.25 * depth * 0x1p-24;
    return 1e-12 + error * error;
}

/*
 * Both kinds have 11 bits of mantissa. A number uniform in a binade is rounded by a uniform part of
 * half a unit, 2^-11 of it: a mean square of 2^-22 / 12 * 4 / (7 / 3) = 3.4e-8 of its own, whatever
 * the binade; a product has two.
 */
static const double ROUNDING = 6.8e-8;

/* NULL: no such GPU here; else it multiplies so until gpu_done. */
static struct device *gpu_of(enum math math, int processors)
{
    struct device *d = check_cuda();
    if (!d || device_cuda_use_math(d, math) < 0)
        return NULL;
    cuda_of(d)->sm_count = processors;
    return d;
}

static void gpu_done(void)
{
    if (check_cuda())
        cuda_of(check_cuda())->math = MATH_FP32;
}

/* Calls fn for what of the two this GPU can do. */
static void each_math(void (*fn)(enum math math, struct device *ref))
{
    int done = 0;
    for (int math = MATH_TF32; math < MATH_COUNT; math++) {
        if (!gpu_of((enum math)math, 8))
            continue;
        fn((enum math)math, rounded_open((enum math)math));
        rounded_close();
        done++;
    }
    gpu_done();
    if (!done)
        skip();
}

static const struct product {
    int processors;
    struct gemm_shape s;
} products[] = {
    {1, {130, 129, 9}}, {1, {128, 128, 24}}, {4, {66, 65, 518}},   {4, {128, 128, 512}},
    {8, {65, 60, 21}},  {8, {64, 64, 48}},   {4, {63, 33, 515}},   {4, {64, 64, 512}},
    {1, {200, 16, 40}}, {1, {130, 9, 31}},   {16, {128, 16, 528}}, {16, {101, 7, 267}},
    {1, {1, 1, 1}},     {8, {9, 70, 130}},   {8, {17, 33, 16}},
};
enum { PRODUCTS = sizeof(products) / sizeof(products[0]) };

static void products_of(enum math math, struct device *ref)
{
    unsigned seen = 0;
    for (int i = 0; i < PRODUCTS; i++) {
        struct gemm_shape s = products[i].s;
        struct device *d = gpu_of(math, products[i].processors);
        struct gemm_plan plan =
            gemm_turned(s.m, s.n) ? gemm_plan_of(d, s.n, s.m, s.k) : gemm_plan_of(d, s.m, s.n, s.k);
        seen |= 1u << (2 * plan.tile + (plan.splits > 1));
        for (int way = 0; way < 4; way++) {
            int slack = way == 1 ? 3 : way == 2 ? 4 : 0, add = way % 2;
            size_t offset = way == 3 ? 4 : 0, count = (size_t)s.m * (size_t)(s.n + slack);
            float *got = gemm_product(d, way & 1, way >> 1, s, slack, offset, add);
            float *want = gemm_product(ref, way & 1, way >> 1, s, slack, offset, add);
            char what[128];
            snprintf(what, sizeof(what), "%s, tile %d in %d parts, ta %d tb %d (%d, %d) of %d",
                     math_name(math), (int)plan.tile, plan.splits, way & 1, way >> 1, s.m, s.n,
                     s.k);
            check_nmse(what, got, want, count, limit_of(s.k));
            guarded_free(got);
            guarded_free(want);
        }
    }
    if (seen != (1u << 2 * TILE_COUNT) - 1)
        fail_msg("%s: not each tile was there whole and split: %02x", math_name(math), seen);
}

static void each_tile_is_the_reference(void **state)
{
    each_math(products_of);
}

static void linear_layers_of(enum math math, struct device *ref)
{
    static const struct linear_shape shapes[] = {
        {1, 1, 1},    {1, 513, 70}, {2, 33, 19},   {4, 1030, 6},   {9, 31, 121},
        {17, 48, 37}, {64, 84, 64}, {33, 515, 57}, {20, 1040, 28},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct linear_shape s = shapes[i];
        int depth = s.c > s.k ? s.c : s.k;
        linear_against_reference(gpu_of(math, 8), ref, s, limit_of(depth > s.n ? depth : s.n));
    }
}

static void linear_layers(void **state)
{
    each_math(linear_layers_of);
}

/* Few processors make the tiles large, many split. */
static void convolutions_of(enum math math, struct device *ref)
{
    /* n, c, h, w, k, kh, kw, sh, sw, ph, pw */
    static const struct conv_case cases[] = {
        {2, 17, 6, 5, 130, 3, 3, 1, 1, 1, 1}, {3, 15, 8, 8, 129, 1, 1, 1, 1, 0, 0},
        {2, 60, 3, 3, 14, 3, 3, 1, 1, 1, 1},  {3, 16, 9, 12, 3, 3, 3, 1, 1, 1, 1},
        {2, 9, 13, 12, 34, 3, 3, 2, 2, 1, 1}, {1, 3, 5, 7, 4, 2, 3, 1, 2, 0, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int transposed = 0; transposed < 2; transposed++) {
            const struct conv_case *s = &cases[i];
            int depth = (s->c > s->k ? s->c : s->k) * s->kh * s->kw, pixels = s->n * s->h * s->w;
            conv_against(gpu_of(math, i % 2 ? 64 : 1), ref, *s, transposed,
                         limit_of(4 * (depth > pixels ? depth : pixels)));
        }
}

static void convolutions(void **state)
{
    each_math(convolutions_of);
}

/* The emulated GPU takes threads and blocks in another order each time. */
static void same_bits_of(enum math math, struct device *ref)
{
    for (int i = 0; i < PRODUCTS; i += 3) {
        struct gemm_shape s = products[i].s;
        size_t bytes = (size_t)s.m * (size_t)s.n * sizeof(float);
        float *once = gemm_product(gpu_of(math, products[i].processors), 0, 0, s, 0, 0, 1);
        float *again = gemm_product(gpu_of(math, products[i].processors), 0, 0, s, 0, 0, 1);
        check_same("a product done again", again, once, bytes);
        guarded_free(once);
        guarded_free(again);
    }
}

static void any_order_gives_the_same_bits(void **state)
{
    each_math(same_bits_of);
}

/* Beside the reference on what was not rounded: as far from it as rounding is, no nearer. */
static void rounding_of(enum math math, struct device *ref)
{
    struct gemm_shape s = {90, 100, 300};
    float *got = gemm_product(gpu_of(math, 8), 0, 1, s, 0, 0, 0);
    float *want = gemm_product(rounded_plain, 0, 1, s, 0, 0, 0);
    size_t count = (size_t)s.m * (size_t)s.n;
    double error = nmse(got, want, count);
    if (!(error > ROUNDING / 1.5 && error < ROUNDING * 1.5))
        fail_msg("%s: NMSE %.3g, where rounding is %.3g", math_name(math), error, ROUNDING);
    gpu_done();
    float *exact = gemm_product(check_cuda(), 0, 1, s, 0, 0, 0);
    check_nmse("fp32 again", exact, want, count, 1e-12);
    guarded_free(exact);
    guarded_free(got);
    guarded_free(want);
}

static void rounding_costs_what_it_must(void **state)
{
    each_math(rounding_of);
}

enum layer_kind { LINEAR, LINEAR_WIDE, CONV, CONV_TRANSPOSED, LAYER_KINDS };

/* One product each way of a layer of one input (or 20 alike) and one output: inp times weight, dout
 * times weight, dout times inp. */
static void tiny_layer(struct device *d, enum layer_kind kind, float inp, float weight, float dout,
                       float got[3])
{
    const struct kernels *k = d->kernels;
    const struct conv2d_dims s = {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1};
    const int wide = kind == LINEAR_WIDE ? 20 : 1;
    float *x = guarded_floats(20), *w = guarded_floats(20), *y = guarded_floats(1),
          *out = guarded_floats(1), *dx = guarded_floats(20), *dw = guarded_floats(20);
    void *work = guarded(k->linear_work(d, 1, wide, 1));
    for (int i = 0; i < 20; i++) {
        x[i] = inp;
        w[i] = weight;
        dw[i] = 0;
    }
    *y = dout;
    if (kind == CONV) {
        k->conv2d_forward(d, out, x, w, NULL, &s, ACT_NONE, work);
        k->conv2d_backward_data(d, dx, y, w, &s, 0, work);
        k->conv2d_backward_weights(d, dw, NULL, y, x, &s, 1, work);
    } else if (kind == CONV_TRANSPOSED) {
        k->conv_transpose2d_forward(d, out, x, w, NULL, &s, ACT_NONE, work);
        k->conv_transpose2d_backward_data(d, dx, y, w, &s, 0, work);
        k->conv_transpose2d_backward_weights(d, dw, NULL, y, x, &s, 1, work);
    } else {
        k->linear_forward(d, out, x, w, NULL, 1, wide, 1, ACT_NONE, work);
        k->linear_backward_data(d, dx, y, w, 1, wide, 1, 0, work);
        k->linear_backward_weights(d, dw, NULL, y, x, 1, wide, 1, 1, work);
    }
    got[0] = *out / (float)wide;
    got[1] = dx[wide - 1];
    got[2] = dw[wide - 1];
    guarded_free(work);
    float *all[] = {x, w, y, out, dx, dw};
    for (int i = 0; i < 6; i++)
        guarded_free(all[i]);
}

/* A half ends at 65504 and at 6e-8, gradients at 63.97 and 6e-11; TF32 where a float does. */
static void the_range_of_operands(void **state)
{
    float y[3];
    struct device *d = gpu_of(MATH_FP16, 8);
    if (!d)
        skip();
    for (int i = 0; i < LAYER_KINDS; i++) {
        enum layer_kind kind = (enum layer_kind)i;
        tiny_layer(d, kind, 65504, 0x1p-24f, 0x1p-34f, y);
        assert_true(y[0] == 65504 * 0x1p-24f && y[1] == 0x1p-58f && y[2] == 65504 * 0x1p-34f);
        tiny_layer(d, kind, 65536, 0x1p-26f, 63.96875f, y);
        assert_true(isnan(y[0]) && y[1] == 0 && isinf(y[2]));
        tiny_layer(d, kind, 65504, 1, 0x1p-36f, y);
        assert_true(y[0] == 65504 && y[1] == 0 && y[2] == 0);
        tiny_layer(d, kind, 1, 1, 64, y);
        assert_true(y[0] == 1 && isinf(y[1]) && isinf(y[2]));
    }
    if (gpu_of(MATH_TF32, 8)) {
        tiny_layer(check_cuda(), LINEAR, 0x1p100f, 0x1p-60f, 0x1p-60f, y);
        assert_true(y[0] == 0x1p40f && y[1] == 0x1p-120f && y[2] == 0x1p40f);
    }
    gpu_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tile_is_the_reference),
        cmocka_unit_test(linear_layers),
        cmocka_unit_test(convolutions),
        cmocka_unit_test(any_order_gives_the_same_bits),
        cmocka_unit_test(rounding_costs_what_it_must),
        cmocka_unit_test(the_range_of_operands),
    };
    setenv("CUDA_EMU", "cc=80", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
