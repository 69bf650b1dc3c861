/*
 * The CUDA products on GPUs of few and of many processors, by which each tile is chosen, with and
 * without a split depth; arrays that float4 reads do not fit; the same bits whatever the order of
 * threads. The plans themselves. What test_gemm.c and its kin ask is not asked again.
 */
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

/* As test_gemm.c's. */
static const double LIMIT = 1e-12;

static struct device *gpu_of(int processors)
{
    struct device *d = check_cuda();
    if (!d)
        skip();
    cuda_of(d)->sm_count = processors;
    return d;
}

/* Every tile, whole and split, by shape and processors; also what the tests below run. */
static const struct planned {
    int processors;
    struct gemm_shape s;
    enum gemm_tile_kind tile;
    int split;
} planned[] = {
    {1, {250, 250, 9}, TILE_128x128, 0},    {1, {128, 128, 24}, TILE_128x128, 0},
    {4, {250, 255, 1030}, TILE_128x128, 1}, {4, {256, 256, 1040}, TILE_128x128, 1},
    {1, {65, 60, 21}, TILE_64x64, 0},       {1, {64, 64, 48}, TILE_64x64, 0},
    {8, {120, 122, 515}, TILE_64x64, 1},    {4, {64, 64, 1024}, TILE_64x64, 1},
    {1, {200, 16, 40}, TILE_128x16, 0},     {4, {130, 9, 31}, TILE_128x16, 0},
    {64, {128, 16, 1040}, TILE_128x16, 1},  {64, {131, 7, 777}, TILE_128x16, 1},
};
enum { PLANNED = sizeof(planned) / sizeof(planned[0]) };

static void each_tile_is_planned(void **state)
{
    for (int i = 0; i < PLANNED; i++) {
        const struct planned *p = &planned[i];
        struct gemm_plan got = gemm_plan_of(gpu_of(p->processors), p->s.m, p->s.n, p->s.k);
        if (got.tile != p->tile || (got.splits > 1) != p->split)
            fail_msg("(%d, %d) of depth %d on %d processors: tile %d in %d parts", p->s.m, p->s.n,
                     p->s.k, p->processors, (int)got.tile, got.splits);
    }
}

/* Parts cover the depth, none is empty, and the work area holds them. */
static void plans_hold_together(void **state)
{
    static const int sizes[] = {1, 2, 16, 17, 64, 100, 257, 1000, 4096};
    static const int depths[] = {0, 1, 127, 255, 256, 1000, 4609, 65536};
    static const int processors[] = {1, 8, 46, 132};
    for (size_t i = 0; i < 9 * 9 * 8 * 4; i++) {
        int m = sizes[i % 9], n = sizes[i / 9 % 9], k = depths[i / 81 % 8];
        struct gemm_plan p = gemm_plan_of(gpu_of(processors[i / 648]), m, n, k);
        assert_in_range(p.splits, 1, 256);
        if (p.splits == 1) {
            assert_int_equal(p.part, k);
            assert_int_equal(p.bytes, 0);
            continue;
        }
        assert_int_equal(p.part % 16, 0);
        assert_true((long long)p.part * p.splits >= k && (long long)p.part * (p.splits - 1) < k);
        assert_true(p.bytes == (size_t)p.splits * (size_t)m * (size_t)n * sizeof(float));
    }
}

static void each_tile_is_the_reference(void **state)
{
    struct device *ref = check_device("reference", 1);
    for (int i = 0; i < PLANNED; i++) {
        const struct planned *p = &planned[i];
        struct device *d = gpu_of(p->processors);
        for (int way = 0; way < 4; way++) {
            /* 0, 4: float4 where the shape allows it; else addresses or rows that do not */
            int slack = way == 1 ? 3 : way == 2 ? 4 : 0, add = way % 2;
            size_t offset = way == 3 ? 4 : 0, count = (size_t)p->s.m * (size_t)(p->s.n + slack);
            float *got = gemm_product(d, way & 1, way >> 1, p->s, slack, offset, add);
            float *want = gemm_product(ref, way & 1, way >> 1, p->s, slack, offset, add);
            char what[128];
            snprintf(what, sizeof(what), "tile %d split %d, ta %d tb %d (%d, %d) of %d",
                     (int)p->tile, p->split, way & 1, way >> 1, p->s.m, p->s.n, p->s.k);
            check_nmse(what, got, want, count, LIMIT);
            guarded_free(got);
            guarded_free(want);
        }
    }
    device_close(ref);
}

/* The emulated GPU takes threads and blocks in another order each time. */
static void any_order_gives_the_same_bits(void **state)
{
    for (int i = 0; i < PLANNED; i++) {
        const struct planned *p = &planned[i];
        size_t bytes = (size_t)p->s.m * (size_t)p->s.n * sizeof(float);
        float *once = gemm_product(gpu_of(p->processors), 0, 0, p->s, 0, 0, 1);
        float *again = gemm_product(gpu_of(p->processors), 0, 0, p->s, 0, 0, 1);
        check_same("a product done again", again, once, bytes);
        guarded_free(once);
        guarded_free(again);
    }
}

/* A convolution's windows in every tile: few processors make the tiles large, many split. */
static void convolutions_in_each_tile(void **state)
{
    /* n, c, h, w, k, kh, kw, sh, sw, ph, pw */
    static const struct conv_case cases[] = {
        {2, 17, 10, 9, 130, 3, 3, 1, 1, 1, 1}, {3, 15, 8, 8, 129, 1, 1, 1, 1, 0, 0},
        {2, 130, 4, 4, 14, 1, 1, 1, 1, 0, 0},  {1, 60, 3, 3, 131, 3, 3, 1, 1, 1, 1},
        {3, 16, 12, 12, 3, 3, 3, 1, 1, 1, 1},  {2, 9, 13, 12, 34, 3, 3, 2, 2, 1, 1},
    };
    struct device *ref = check_device("reference", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int processors = 1; processors <= 64; processors *= 64)
            for (int transposed = 0; transposed < 2; transposed++)
                conv_against_reference(gpu_of(processors), ref, cases[i], transposed);
    device_close(ref);
}

/* A short batch's products may be split where a whole batch's are not. */
static void work_is_enough_for_fewer_samples(void **state)
{
    struct device *d = gpu_of(8);
    struct conv2d_dims whole = {64, 128, 4, 4, 256, 3, 3, 1, 1, 1, 1, 4, 4}, some = whole;
    size_t work = d->kernels->conv2d_work(d, &whole, 1);
    size_t linear = d->kernels->linear_work(d, 64, 1024, 256), once = 0;
    for (some.n = 1; some.n < whole.n; some.n++) {
        struct gemm_plan forward = gemm_plan_of(d, some.k, some.n * 16, some.c * 9);
        struct gemm_plan data = gemm_plan_of(d, some.c, some.n * 16, some.k * 9);
        struct gemm_plan weights = gemm_plan_of(d, some.k, some.c * 9, some.n * 16);
        if (forward.bytes > work || data.bytes > work || weights.bytes > work)
            fail_msg("%d samples want more than %zu bytes", some.n, work);
        size_t bytes = d->kernels->gemm_work(d, some.n, 256, 1024);
        if (bytes > linear)
            fail_msg("%d rows want %zu bytes, not %zu", some.n, bytes, linear);
        once |= forward.bytes;
    }
    assert_true(once > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tile_is_planned),
        cmocka_unit_test(plans_hold_together),
        cmocka_unit_test(each_tile_is_the_reference),
        cmocka_unit_test(any_order_gives_the_same_bits),
        cmocka_unit_test(convolutions_in_each_tile),
        cmocka_unit_test(work_is_enough_for_fewer_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
