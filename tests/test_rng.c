/*
 * Random numbers: Philox's known answers, the fills' statistics, and that neither instruction set
 * nor threads nor where a call starts changes a bit. Dropout too: its mask is a function of the
 * element's number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernels/normal.h"
#include "tests/check.h"

/* Random123's kat_vectors, philox4x32 10: counter, key, answer. */
static void philox_known_answers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof(kat) / sizeof(kat[0]); i++) {
        struct rng r = {{kat[i].key[0], kat[i].key[1]}, {kat[i].counter[2], kat[i].counter[3]}};
        uint64_t block = (uint64_t)kat[i].counter[1] << 32 | kat[i].counter[0];
        uint32_t out[4];
        rng_block(&r, block, out);
        assert_memory_equal(out, kat[i].want, sizeof(out));
        if (block < UINT64_MAX / 4)
            for (unsigned k = 0; k < 4; k++)
                assert_int_equal(rng_word(&r, block * 4 + k), out[k]);
    }
    struct rng r = rng_make(0x0123456789abcdef, RNG_SHAPES, 7, 9);
    assert_int_equal(r.key[0], 0x89abcdef);
    assert_int_equal(r.key[1], 0x01234567);
    assert_int_equal(r.stream[0], RNG_SHAPES << 24 | 7);
    assert_int_equal(r.stream[1], 9);
}

static void uniform_ends(void **state)
{
    assert_true(rng_uniform(0) == 0);
    assert_true(rng_uniform(0xffffffff) == 1 - 0x1p-24f);
}

/* Box-Muller in double, from the same words. */
static void normal_is_box_muller(void **state)
{
    struct rng r = rng_make(3, RNG_TEST, 0, 0);
    double worst = 0;
    for (uint64_t i = 0; i < 400000; i++) {
        uint32_t w[4];
        rng_block(&r, i, w);
        if (i % 4 == 1)
            w[0] >>= i % 32; /* the tail */
        if (i % 4 == 2)
            w[0] |= 0xffffffffu << i % 32; /* near 1 */
        if (i % 4 == 3)
            w[1] &= 0xe0000000u; /* the axes and diagonals */
        float a, b;
        normal_pair(w[0], w[1], &a, &b);
        double radius = sqrt(-2 * log((floor(w[0] / 2.0) + 0.5) * 0x1p-31));
        double angle = 2 * M_PI * (w[1] * 0x1p-32);
        worst = fmax(worst, fabs(a - radius * cos(angle)));
        worst = fmax(worst, fabs(b - radius * sin(angle)));
    }
    assert_true(worst < 4e-4); /* near u = 1, where u itself is rounded and sqrt is steep */
    for (uint64_t i = 0; i < 100000; i++) {
        uint32_t w[4];
        rng_block(&r, i, w);
        if (w[0] > 0xf0000000u)
            continue;
        float a, b;
        normal_pair(w[0], w[1], &a, &b);
        double radius = sqrt(-2 * log((floor(w[0] / 2.0) + 0.5) * 0x1p-31));
        double angle = 2 * M_PI * (w[1] * 0x1p-32);
        assert_true(fabs(a - radius * cos(angle)) < 2e-6);
        assert_true(fabs(b - radius * sin(angle)) < 2e-6);
    }
    float a, b;
    normal_pair(0, 0, &a, &b);
    assert_true(a > 6.6f && a < 6.7f && b == 0);
    normal_pair(0xffffffff, 0, &a, &b);
    assert_true(fabsf(a) < 1e-4f);
}

struct moments {
    double mean, var, skew, kurtosis;
};

static struct moments moments_of(const float *x, size_t n)
{
    struct moments m = {0, 0, 0, 0};
    for (size_t i = 0; i < n; i++)
        m.mean += x[i];
    m.mean /= (double)n;
    double s2 = 0, s3 = 0, s4 = 0;
    for (size_t i = 0; i < n; i++) {
        double e = x[i] - m.mean;
        s2 += e * e;
        s3 += e * e * e;
        s4 += e * e * e * e;
    }
    m.var = s2 / (double)n;
    m.skew = s3 / (double)n / pow(m.var, 1.5);
    m.kurtosis = s4 / (double)n / (m.var * m.var);
    return m;
}

static double correlation(const float *x, const float *y, size_t n)
{
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < n; i++) {
        xy += (double)x[i] * y[i];
        xx += (double)x[i] * x[i];
        yy += (double)y[i] * y[i];
    }
    return xy / sqrt(xx * yy);
}

enum { MANY = 1 << 20 };

static void normal_statistics(void **state)
{
    struct device *d = check_device("auto", 2);
    float *x = guarded_floats(MANY), *y = guarded_floats(MANY);
    struct rng r = rng_make(1, RNG_WEIGHTS, 0, 0);
    d->kernels->fill_normal(d, x, MANY, &r, 0, 1);
    struct moments m = moments_of(x, MANY);
    /* five standard errors of a million samples */
    assert_true(fabs(m.mean) < 5e-3);
    assert_true(fabs(m.var - 1) < 7e-3);
    assert_true(fabs(m.skew) < 1.2e-2);
    assert_true(fabs(m.kurtosis - 3) < 2.4e-2);
    /* P(|z| > t) for t = 1, 2, 3, 4 */
    static const double tail[4] = {0.3173105, 0.0455003, 0.0026998, 0.00006334};
    for (int t = 1; t <= 4; t++) {
        size_t above = 0, below = 0;
        for (size_t i = 0; i < MANY; i++) {
            above += x[i] > (float)t;
            below += x[i] < -(float)t;
        }
        double want = tail[t - 1] * MANY, error = 5 * sqrt(want);
        assert_true(fabs((double)(above + below) - want) < error);
        assert_true(fabs((double)above - (double)below) < error);
    }
    /* Neighbours, and streams of another seed, purpose, layer, step. */
    assert_true(fabs(correlation(x, x + 1, MANY - 1)) < 5e-3);
    assert_true(fabs(correlation(x, x + 2, MANY - 2)) < 5e-3);
    const struct rng other[] = {rng_make(2, RNG_WEIGHTS, 0, 0),
                                rng_make(1ull << 32 | 1, RNG_WEIGHTS, 0, 0),
                                rng_make(1, RNG_DROPOUT, 0, 0), rng_make(1, RNG_WEIGHTS, 1, 0),
                                rng_make(1, RNG_WEIGHTS, 0, 1)};
    for (int i = 0; i < 5; i++) {
        d->kernels->fill_normal(d, y, MANY, &other[i], 0, 1);
        assert_true(fabs(correlation(x, y, MANY)) < 5e-3);
    }
    d->kernels->fill_normal(d, y, MANY, &r, 3, 0.5f);
    for (size_t i = 0; i < MANY; i += 101)
        assert_true(y[i] == 3 + 0.5f * x[i]);
    guarded_free(x);
    guarded_free(y);
    device_close(d);
}

static void uniform_statistics(void **state)
{
    struct device *d = check_device("auto", 2);
    float *x = guarded_floats(MANY);
    struct rng r = rng_make(5, RNG_WEIGHTS, 0, 0);
    d->kernels->fill_uniform(d, x, MANY, &r, -2, 6);
    size_t bin[64] = {0};
    for (size_t i = 0; i < MANY; i++) {
        assert_true(x[i] >= -2 && x[i] < 6);
        bin[(int)((x[i] + 2) * 8)]++;
    }
    double chi2 = 0, want = MANY / 64.0;
    for (int i = 0; i < 64; i++)
        chi2 += ((double)bin[i] - want) * ((double)bin[i] - want) / want;
    assert_true(chi2 > 25 && chi2 < 120); /* 63 degrees of freedom */
    guarded_free(x);
    device_close(d);
}

/* Every instruction set, every number of threads, any length: the reference's bits. */
static void fills_same_bits(struct device *d, struct device *ref)
{
    static const size_t sizes[] = {0, 1, 2, 3, 5, 64, 255, 256, 257, 511, 32768, 32769, 100003};
    struct rng r = rng_make(11, RNG_WEIGHTS, 3, 0);
    float *want = guarded_floats(100003), *want_uniform = guarded_floats(100003);
    ref->kernels->fill_normal(ref, want, 100003, &r, 0.5f, 0.01f);
    ref->kernels->fill_uniform(ref, want_uniform, 100003, &r, -0.3f, 0.7f);
    for (int threads = 1; threads <= 3; threads += 2) {
        struct device *t = check_like(d, threads);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            size_t n = sizes[i], offset = i % 4 * 4;
            float *x = guarded_at(n * sizeof(float), offset);
            t->kernels->fill_normal(t, x, n, &r, 0.5f, 0.01f);
            check_same("normal", x, want, n * sizeof(float));
            t->kernels->fill_uniform(t, x, n, &r, -0.3f, 0.7f);
            check_same("uniform", x, want_uniform, n * sizeof(float));
            guarded_free_at(x, offset);
        }
        check_close(t);
    }
    guarded_free(want);
    guarded_free(want_uniform);
}

static void fills_same_bits_everywhere(void **state)
{
    check_each_isa(fills_same_bits, 1);
}

static void dropout_compare(struct device *d, struct device *ref)
{
    static const size_t sizes[] = {1, 7, 256, 1000, 16384, 16385, 70001};
    static const uint64_t firsts[] = {0, 1, 2, 3, 253, 1000003, (1ull << 34) - 5};
    static const float ps[] = {0, 0x1p-24f, 0.1f, 0.5f, 0.999f, 1};
    struct rng r = rng_make(13, RNG_DROPOUT, 3, 8);
    for (size_t i = 0; i < 7; i++) {
        size_t n = sizes[i], bytes = n * sizeof(float);
        float *x = random_floats(n, 1, 1, 2), *out = guarded_floats(n), *want = guarded_floats(n);
        for (size_t k = 0; k < 7 * 6; k++) {
            uint64_t first = firsts[k % 7];
            float p = ps[k / 7];
            d->kernels->dropout_forward(d, out, x, n, p, &r, first);
            ref->kernels->dropout_forward(ref, want, x, n, p, &r, first);
            check_same("forward", out, want, bytes);
            memcpy(out, x, bytes);
            d->kernels->dropout_forward(d, out, out, n, p, &r, first);
            check_same("in place", out, want, bytes);
            d->kernels->dropout_backward(d, out, x, n, p, &r, first, 0);
            check_same("backward", out, want, bytes); /* the same mask and scale */
            d->kernels->dropout_backward(d, out, x, n, p, &r, first, 1);
            ref->kernels->dropout_backward(ref, want, x, n, p, &r, first, 1);
            check_nmse("backward adds", out, want, n, 1e-14);
        }
        guarded_free(x);
        guarded_free(out);
        guarded_free(want);
    }
}

static void dropout_against_reference(void **state)
{
    check_each_isa(dropout_compare, 3);
}

/* p is exactly an element's number, or the next float above it: kept, and dropped. */
static void dropout_border(struct device *d, struct device *ref)
{
    struct rng r = rng_make(13, RNG_DROPOUT, 3, 8);
    float *x = random_floats(16, 1, 1, 1), *out = guarded_floats(16);
    for (uint64_t e = 0; e < 500; e++) {
        float p = rng_uniform(rng_word(&r, e + 5));
        d->kernels->dropout_forward(d, out, x, 16, p, &r, e);
        assert_true(out[5] == 1 / (1 - p));
        p = nextafterf(p, 1);
        d->kernels->dropout_forward(d, out, x, 16, p, &r, e);
        assert_true(out[5] == 0);
        ref->kernels->dropout_forward(ref, out, x, 16, p, &r, e);
        assert_true(out[5] == 0);
    }
    guarded_free(x);
    guarded_free(out);
}

static void dropout_border_against_reference(void **state)
{
    check_each_isa(dropout_border, 1);
}

/* A batch in one piece or in two draws the same mask; what is kept has the promised share and
 * scale. */
static void dropout_share(void **state)
{
    struct device *d = check_device("auto", 2);
    float *x = guarded_floats(MANY), *out = guarded_floats(MANY), *parts = guarded_floats(MANY);
    struct rng r = rng_make(13, RNG_DROPOUT, 3, 8);
    d->kernels->fill(d, x, MANY, 1);
    d->kernels->dropout_forward(d, out, x, MANY, 0.3f, &r, 0);
    size_t kept = 0;
    for (size_t i = 0; i < MANY; i++) {
        assert_true(out[i] == 0 || out[i] == 1 / (1 - 0.3f));
        kept += out[i] != 0;
    }
    assert_true(fabs((double)kept / MANY - 0.7) < 5 * sqrt(0.21 / MANY));
    size_t cut = 333337;
    d->kernels->dropout_forward(d, parts, x, cut, 0.3f, &r, 0);
    d->kernels->dropout_forward(d, parts + cut, x + cut, MANY - cut, 0.3f, &r, cut);
    check_same("in two parts", parts, out, MANY * sizeof(float));
    guarded_free(x);
    guarded_free(out);
    guarded_free(parts);
    device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(uniform_ends),
        cmocka_unit_test(normal_is_box_muller),
        cmocka_unit_test(normal_statistics),
        cmocka_unit_test(uniform_statistics),
        cmocka_unit_test(fills_same_bits_everywhere),
        cmocka_unit_test(dropout_against_reference),
        cmocka_unit_test(dropout_share),
        cmocka_unit_test(dropout_border_against_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
