/*
 * A constant, uniform and normal numbers. The random ones give the same bits on every instruction
 * set: a run's weights must not depend on the machine. So the Makefile compiles this file without
 * contraction into fused multiply-adds.
 */
#include "kernels/cpu/ranges.h"
#include "kernels/cpu/rng_chunk.h"
#include "kernels/normal.h"

struct fill_args {
    float *out;
    const struct rng *key;
    float a, b; /* the value; low, high - low; mean, stddev */
};

static void fill_range(const void *arg, size_t from, size_t to)
{
    const struct fill_args *a = arg;
    float value = a->a;
    for (size_t i = from; i < to; i++)
        a->out[i] = value;
}

void CPU(fill)(struct device *d, float *out, size_t n, float value)
{
    struct fill_args a = {.out = out, .a = value};
    ranges_run(d, n, RANGE_BLOCK, fill_range, &a);
}

static void uniform_chunk(const struct fill_args *a, uint64_t block, float *out)
{
    uint32_t words[RNG_CHUNK];
    float low = a->a, width = a->b;
    rng_chunk(a->key, block, words);
    for (int i = 0; i < RNG_CHUNK; i++)
        out[i] = low + width * ((float)(int32_t)(words[i] >> 8) * 0x1p-24f);
}

static void normal_chunk(const struct fill_args *a, uint64_t block, float *out)
{
    uint32_t words[4][RNG_CHUNK_BLOCKS];
    float z[4][RNG_CHUNK_BLOCKS], mean = a->a, stddev = a->b;
    rng_chunk_lanes(a->key, block, words);
    for (int k = 0; k < 4; k += 2)
        for (int i = 0; i < RNG_CHUNK_BLOCKS; i++)
            normal_pair(words[k][i], words[k + 1][i], &z[k][i], &z[k + 1][i]);
    for (int i = 0; i < RNG_CHUNK_BLOCKS; i++)
        for (int k = 0; k < 4; k++)
            out[4 * i + k] = mean + stddev * z[k][i];
}

/* Whole chunks go straight to the output, the last part through a chunk on the stack. */
static void chunks_range(const struct fill_args *a, size_t from, size_t to,
                         void (*chunk)(const struct fill_args *a, uint64_t block, float *out))
{
    size_t i = from;
    for (; i + RNG_CHUNK <= to; i += RNG_CHUNK)
        chunk(a, i / 4, a->out + i);
    if (i < to) {
        float last[RNG_CHUNK];
        chunk(a, i / 4, last);
        memcpy(a->out + i, last, (to - i) * sizeof(*last));
    }
}

static void uniform_range(const void *arg, size_t from, size_t to)
{
    chunks_range(arg, from, to, uniform_chunk);
}

static void normal_range(const void *arg, size_t from, size_t to)
{
    chunks_range(arg, from, to, normal_chunk);
}

void CPU(fill_uniform)(struct device *d, float *out, size_t n, const struct rng *key, float low,
                       float high)
{
    struct fill_args a = {out, key, low, high - low};
    ranges_run(d, n, RANGE_BLOCK, uniform_range, &a);
}

void CPU(fill_normal)(struct device *d, float *out, size_t n, const struct rng *key, float mean,
                      float stddev)
{
    struct fill_args a = {out, key, mean, stddev};
    ranges_run(d, n, RANGE_BLOCK, normal_range, &a);
}
