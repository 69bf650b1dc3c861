/*
 * gemm of each instruction set against the reference: sizes around every edge of tiles, panels and
 * blocks, transposes, strides, alpha, add; and the same bits for any number of threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/check.h"

/* Each step rounds once, so the error grows with k as a random walk; k = 500 gives an NMSE of 1e-13
 * and more with vectors of 4. A wrong or missing term of 1000 would be 1e-3. */
static const double LIMIT = 1e-12;

struct shape {
    int m, n, k;
};

struct operands {
    int lda, ldb, ldc;
    size_t a_count, b_count, c_count;
    float *a, *b, *c;
};

/* Rows longer than the matrix: what lies between them must not be touched. */
static struct operands operands_new(int ta, int tb, struct shape s, int slack)
{
    struct operands o = {
        .lda = (ta ? s.m : s.k) + slack, .ldb = (tb ? s.k : s.n) + slack, .ldc = s.n + slack};
    o.a_count = (size_t)(ta ? s.k : s.m) * (size_t)o.lda;
    o.b_count = (size_t)(tb ? s.n : s.k) * (size_t)o.ldb;
    o.c_count = (size_t)s.m * (size_t)o.ldc;
    o.a = random_floats(o.a_count, 1, -1, 1);
    o.b = random_floats(o.b_count, 2, -1, 1);
    o.c = random_floats(o.c_count, 3, -1, 1);
    return o;
}

static void operands_free(struct operands *o)
{
    guarded_free(o->a);
    guarded_free(o->b);
    guarded_free(o->c);
}

/* C before the call: NaN where it is set, o->c where it is added to; the gaps hold o->c in both. */
static float *result(struct device *d, int ta, int tb, struct shape s, const struct operands *o,
                     float alpha, int add)
{
    float *c = guarded_floats(o->c_count);
    memcpy(c, o->c, o->c_count * sizeof(*c));
    for (int i = 0; i < s.m && !add; i++)
        poison(c + (size_t)i * (size_t)o->ldc, (size_t)s.n * sizeof(*c));
    void *work = guarded(d->kernels->gemm_work(d, s.m, s.n, s.k));
    d->kernels->gemm(d, ta, tb, s.m, s.n, s.k, alpha, o->a, o->lda, o->b, o->ldb, c, o->ldc, add,
                     work);
    device_sync(d);
    guarded_free(work);
    return c;
}

static void compare(struct device *d, struct device *ref, int ta, int tb, struct shape s, int slack,
                    float alpha, int add)
{
    char what[128];
    snprintf(what, sizeof(what), "%s gemm ta %d tb %d m %d n %d k %d alpha %g add %d",
             d->kernels->name, ta, tb, s.m, s.n, s.k, alpha, add);
    struct operands o = operands_new(ta, tb, s, slack);
    float *got = result(d, ta, tb, s, &o, alpha, add);
    float *want = result(ref, ta, tb, s, &o, alpha, add);
    check_nmse(what, got, want, o.c_count, LIMIT);
    for (int i = 0; i < s.m; i++) {
        size_t gap = (size_t)i * (size_t)o.ldc + (size_t)s.n;
        check_same(what, got + gap, o.c + gap, (size_t)slack * sizeof(float));
    }
    guarded_free(got);
    guarded_free(want);
    operands_free(&o);
}

static void all_ways(struct device *d, struct device *ref, struct shape s)
{
    for (int way = 0; way < 8; way++)
        compare(d, ref, way & 1, way >> 1 & 1, s, way == 3 ? 5 : 0, way % 3 ? 1.0f : -0.37f,
                way >> 2);
}

/*
 * Edges: 6 rows a tile; vectors of 4, 8, 16, tiles of 8, 16, 64 columns; blocks of 120 rows, 128
 * and 256 steps of k, 256 and 512 columns.
 */
static void edges_of(struct device *d, struct device *ref)
{
    static const int ms[] = {1, 2, 3, 4, 5, 6, 7, 11, 13, 119, 120, 121, 127};
    static const int ns[] = {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47, 49, 63, 64, 65, 130};
    static const int ks[] = {1, 2, 3, 127, 128, 129, 255, 256, 257, 515};
    for (size_t i = 0; i < sizeof(ms) / sizeof(ms[0]); i++)
        all_ways(d, ref, (struct shape){ms[i], 17, 5});
    for (size_t i = 0; i < sizeof(ns) / sizeof(ns[0]); i++)
        all_ways(d, ref, (struct shape){8, ns[i], 9});
    for (size_t i = 0; i < sizeof(ks) / sizeof(ks[0]); i++)
        all_ways(d, ref, (struct shape){13, 37, ks[i]});
    all_ways(d, ref, (struct shape){125, 70, 260});
    all_ways(d, ref, (struct shape){7, 1030, 11});
    all_ways(d, ref, (struct shape){250, 515, 8});
}

static void edges(void **state)
{
    check_each_isa(edges_of, 2);
}

/* Strides of 1 KiB, at which A is packed, and a sum of nothing. */
static void strides_of(struct device *d, struct device *ref)
{
    all_ways(d, ref, (struct shape){20, 256, 256});
    all_ways(d, ref, (struct shape){256, 140, 512});
    compare(d, ref, 0, 0, (struct shape){9, 20, 0}, 1, 1, 1);
    float *c = guarded_floats(180), *zero = guarded_floats(180);
    memset(zero, 0, 180 * sizeof(*zero));
    d->kernels->gemm(d, 0, 0, 9, 20, 0, 1, zero, 1, zero, 20, c, 20, 0, NULL);
    check_same("gemm of k 0", c, zero, 180 * sizeof(*c));
    guarded_free(c);
    guarded_free(zero);
}

static void strides(void **state)
{
    check_each_isa(strides_of, 2);
}

static void same_bits_for_any_threads(void **state)
{
    static const struct shape shapes[] = {{200, 300, 400}, {64, 1000, 300}, {500, 64, 513}};
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        struct device *one = check_device(*isa, 1);
        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
            struct operands o = operands_new(0, 1, shapes[i], 3);
            float *want = result(one, 0, 1, shapes[i], &o, 0.5f, 1);
            for (int threads = 2; threads <= 5; threads += threads == 3 ? 2 : 1) {
                struct device *d = check_device(*isa, threads);
                float *got = result(d, 0, 1, shapes[i], &o, 0.5f, 1);
                check_same("gemm by threads", got, want, o.c_count * sizeof(*got));
                guarded_free(got);
                device_close(d);
            }
            guarded_free(want);
            operands_free(&o);
        }
        device_close(one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges),
        cmocka_unit_test(strides),
        cmocka_unit_test(same_bits_for_any_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
