/*
 * What the kernel tests share: arrays between guard words, poisoned with NaN; random numbers;
 * comparison by NMSE or bit for bit; the devices to compare. Include after cmocka.h. A failure goes
 * through fail_msg.
 *
 *     float *want = guarded_floats(n), *got = guarded_floats(n), *inp = random_floats(n, 1, -1, 1);
 *     ...
 *     check_nmse("conv2d forward", got, want, n, 1e-12);
 *     guarded_free(got); ...                  // looks at the guards first
 */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "kernels/device.h"
#include "kernels/kernels.h"
#include "tests/check_cuda.h"

enum { GUARD_BYTES = 256, GUARD_BYTE = 0x5a, POISON_BYTE = 0xff }; /* four poison bytes are a NaN */

struct guard_head {
    void *block;
    size_t bytes;
};

/* bytes of poison, `offset` bytes past a 64-byte boundary, guard words on both sides. */
static inline void *guarded_at(size_t bytes, size_t offset)
{
    char *block = check_alloc((size_t)2 * GUARD_BYTES + bytes + offset);
    char *p = block + GUARD_BYTES + offset;
    memset(block, GUARD_BYTE, GUARD_BYTES + offset);
    memset(p, POISON_BYTE, bytes);
    memset(p + bytes, GUARD_BYTE, GUARD_BYTES);
    struct guard_head head = {block, bytes};
    memcpy(block, &head, sizeof(head));
    return p;
}

static inline void *guarded(size_t bytes)
{
    return guarded_at(bytes, 0);
}

static inline float *guarded_floats(size_t n)
{
    return guarded(n * sizeof(float));
}

static inline void poison(void *p, size_t bytes)
{
    memset(p, POISON_BYTE, bytes);
}

/* p as guarded_at(..., offset) gave it. */
static inline void guarded_check_at(const void *p, size_t offset, const char *what)
{
    const unsigned char *bytes = p, *block = bytes - offset - GUARD_BYTES;
    struct guard_head head;
    memcpy(&head, block, sizeof(head));
    CHECK(head.block == block);
    for (size_t i = sizeof(head); i < GUARD_BYTES + offset; i++)
        if (block[i] != GUARD_BYTE)
            fail_msg("%s: written %zu bytes before the array", what, GUARD_BYTES + offset - i);
    for (size_t i = 0; i < GUARD_BYTES; i++)
        if (bytes[head.bytes + i] != GUARD_BYTE)
            fail_msg("%s: written %zu bytes past the array", what, i + 1);
}

static inline void guarded_check(const void *p, const char *what)
{
    guarded_check_at(p, 0, what);
}

static inline void guarded_free_at(void *p, size_t offset)
{
    guarded_check_at(p, offset, "guard");
    struct guard_head head;
    memcpy(&head, (char *)p - offset - GUARD_BYTES, sizeof(head));
    check_free(head.block, (size_t)2 * GUARD_BYTES + head.bytes + offset);
}

static inline void guarded_free(void *p)
{
    guarded_free_at(p, 0);
}

static inline void random_fill(float *x, size_t n, uint32_t seed, float low, float high)
{
    struct rng r = rng_make(seed, RNG_TEST, 0, 0);
    for (size_t i = 0; i < n; i++)
        x[i] = low + (high - low) * rng_uniform(rng_word(&r, i));
}

/* A guarded array of uniform numbers. */
static inline float *random_floats(size_t n, uint32_t seed, float low, float high)
{
    float *x = guarded_floats(n);
    random_fill(x, n, seed, low, high);
    return x;
}

/* sum (got - want)^2 / sum want^2; infinite where only one of two is finite, so poison is always
 * seen. */
static inline double nmse(const float *got, const float *want, size_t n)
{
    double err = 0, ref = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(got[i]) || !isfinite(want[i]))
            return INFINITY;
        double d = (double)got[i] - want[i];
        err += d * d;
        ref += (double)want[i] * want[i];
    }
    return err == 0 ? 0 : err / ref;
}

static inline void check_nmse(const char *what, const float *got, const float *want, size_t n,
                              double limit)
{
    double e = nmse(got, want, n);
    if (e <= limit)
        return;
    size_t worst = 0;
    double most = -1;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - want[i]);
        if (isnan(d))
            d = INFINITY;
        if (d > most) {
            most = d;
            worst = i;
        }
    }
    fail_msg("%s: NMSE %.3g > %.3g; worst at %zu of %zu: got %.9g, want %.9g", what, e, limit,
             worst, n, got[worst], want[worst]);
}

/* Bit for bit. */
static inline void check_same(const char *what, const void *got, const void *want, size_t bytes)
{
    const unsigned char *g = got, *w = want;
    if (memcmp(g, w, bytes) == 0)
        return;
    size_t i = 0;
    while (i < bytes && g[i] == w[i])
        i++;
    float a = 0, b = 0;
    size_t at = i - i % sizeof(float);
    if (at + sizeof(float) <= bytes) {
        memcpy(&a, g + at, sizeof(a));
        memcpy(&b, w + at, sizeof(b));
    }
    fail_msg("%s: byte %zu of %zu differs (as float: element %zu, got %.9g, want %.9g)", what, i,
             bytes, at / sizeof(float), a, b);
}

static inline struct device *check_device(const char *isa, int threads)
{
    struct device *d;
    if (device_cpu_open(&d, threads, isa) < 0)
        fail_msg("%s: %s", isa, err_text());
    return d;
}

/* Another device like d, with so many threads; a GPU is its own. check_close gives it back. */
static inline struct device *check_like(struct device *d, int threads)
{
    return d == check_cuda() ? d : check_device(device_cpu_isa(d), threads);
}

static inline void check_close(struct device *d)
{
    if (d != check_cuda())
        device_close(d);
}

/* The reference, and each device that is compared with it: every instruction set of this machine,
 * and a GPU. MODE=emu has the GPU alone: MODE=asan has the others. */
struct check_devices {
    struct device *ref, *d[8];
    int n;
};

static inline struct check_devices check_devices_open(int threads)
{
    struct check_devices all = {.ref = check_device("reference", 1)};
    if (check_cuda())
        all.d[all.n++] = check_cuda();
#ifndef EMULATED
    for (const char *const *isa = device_cpu_isas(); *isa; isa++)
        if (strcmp(*isa, "reference") != 0)
            all.d[all.n++] = check_device(*isa, threads);
#endif
    return all;
}

static inline void check_devices_close(struct check_devices *all)
{
    for (int i = 0; i < all->n; i++)
        check_close(all->d[i]);
    device_close(all->ref);
}

/* Calls fn(device, reference device) for each of them. fn's arrays must be guarded ones, which both
 * can reach. */
static inline void check_each_isa(void (*fn)(struct device *d, struct device *ref), int threads)
{
    struct check_devices all = check_devices_open(threads);
    for (int i = 0; i < all.n; i++)
        fn(all.d[i], all.ref);
    check_devices_close(&all);
}

#endif
