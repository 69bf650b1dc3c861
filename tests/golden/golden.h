/*
 * The test's side of the files in tests/golden: reads them, draws weights and inputs by the formula
 * of make_golden.py (the test stream of base/rng.h), and compares. Include after cmocka.h.
 */
#ifndef TESTS_GOLDEN_GOLDEN_H
#define TESTS_GOLDEN_GOLDEN_H

#include <jansson.h>
#include <stdio.h>

#include "tests/check.h"

/* Streams of what is not a parameter; parameters are 0, 1, ... in state_dict order. */
enum { STREAM_INPUT = 4096, STREAM_LABELS = 4097 };

/* The array `list` of tests/golden/`file`. Ends with golden_close. */
static inline json_t *golden_open(const char *file, const char *list)
{
    char path[256];
    snprintf(path, sizeof(path), "tests/golden/%s", file);
    json_error_t e;
    json_t *root = json_load_file(path, 0, &e);
    if (!root)
        fail_msg("%s:%d: %s (run from the repository root)", path, e.line, e.text);
    json_t *array = json_incref(json_object_get(root, list));
    json_decref(root);
    if (json_array_size(array) == 0)
        fail_msg("%s holds no %s", path, list);
    return array;
}

static inline void golden_close(json_t *array)
{
    json_decref(array);
}

static inline double golden_number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_number(v))
        fail_msg("no number \"%s\"", key);
    return json_number_value(v);
}

static inline int golden_int(const json_t *o, const char *key)
{
    return (int)golden_number(o, key);
}

static inline const char *golden_text(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    if (!text)
        fail_msg("no text \"%s\"", key);
    return text;
}

/* Up to `max` numbers; returns how many. */
static inline size_t golden_numbers(const json_t *o, const char *key, double out[], size_t max)
{
    const json_t *list = json_object_get(o, key);
    size_t n = json_array_size(list);
    if (n == 0 || n > max)
        fail_msg("\"%s\" has %zu numbers, wanted 1 to %zu", key, n, max);
    for (size_t i = 0; i < n; i++)
        out[i] = json_number_value(json_array_get(list, i));
    return n;
}

/* scale * (2 u - 1), as counter.uniform does: the same bits. */
static inline void golden_fill(float *x, size_t n, uint64_t seed, uint32_t stream, uint32_t step,
                               float scale)
{
    struct rng r = rng_make(seed, RNG_TEST, stream, step);
    for (size_t i = 0; i < n; i += 4) {
        uint32_t w[4];
        rng_block(&r, i / 4, w);
        for (size_t j = 0; j < 4 && i + j < n; j++)
            x[i + j] = scale * (2 * rng_uniform(w[j]) - 1);
    }
}

/* A guarded array of them. */
static inline float *golden_draw(size_t n, uint64_t seed, uint32_t stream, float scale)
{
    float *x = guarded_floats(n);
    golden_fill(x, n, seed, stream, 0, scale);
    return x;
}

static inline void golden_labels(int32_t *y, int n, uint64_t seed, uint32_t stream, uint32_t step,
                                 uint32_t classes)
{
    struct rng r = rng_make(seed, RNG_TEST, stream, step);
    for (int i = 0; i < n; i++)
        y[i] = (int32_t)(rng_word(&r, (uint64_t)i) % classes);
}

enum { GOLDEN_SAMPLES = 64 };

/*
 * Compares a tensor with what make_golden.py's change() kept of its: sum and sum of squares, and
 * the NMSE of up to 64 elements. start: subtracted first, NULL for zeros.
 */
static inline void golden_check_change(const char *what, const json_t *want, const float *x,
                                       const float *start, size_t n, double limit)
{
    double sum = 0, squares = 0, sample[GOLDEN_SAMPLES], err = 0, ref = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - (start ? start[i] : 0);
        sum += d;
        squares += d * d;
    }
    size_t nsample = golden_numbers(want, "sample", sample, GOLDEN_SAMPLES);
    for (size_t i = 0; i < nsample; i++) {
        size_t at = i * n / nsample;
        double d = (double)x[at] - (start ? start[at] : 0) - sample[i];
        err += d * d;
        ref += sample[i] * sample[i];
    }
    if (!(err <= limit * ref))
        fail_msg("%s: NMSE of %zu elements is %.3g, wanted %.3g", what, nsample, err / ref, limit);
    double want_sum = golden_number(want, "sum"), want_squares = golden_number(want, "squares");
    double root = sqrt(limit);
    if (!(fabs(sum - want_sum) <= root * sqrt((double)n * want_squares)))
        fail_msg("%s: the sum is %.9g, wanted %.9g", what, sum, want_sum);
    if (!(fabs(squares - want_squares) <= 2 * root * want_squares))
        fail_msg("%s: the sum of squares is %.9g, wanted %.9g", what, squares, want_squares);
}

#endif
