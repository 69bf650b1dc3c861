/*
 * A counter-based random generator: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011). It has no state: a number is a function of (seed,
 * purpose, layer, step, element), so weights, dropout and shuffling do not depend on how a model is
 * split, on the number of threads or on the order of calls.
 *
 *     struct rng r = rng_make(seed, RNG_DROPOUT, layer, step);
 *     float u = rng_uniform(rng_word(&r, element));
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

#include "base/inline.h"

enum rng_purpose {
    RNG_WEIGHTS,
    RNG_DROPOUT,
    RNG_SHUFFLE,
    RNG_SHAPES,
    RNG_TEST,
    RNG_SCENE,
    RNG_PURPOSE_COUNT
};

struct rng {
    uint32_t key[2];    /* the seed */
    uint32_t stream[2]; /* purpose << 24 | layer, step */
};

HOST_DEVICE_INLINE struct rng rng_make(uint64_t seed, enum rng_purpose purpose, uint32_t layer,
                                       uint32_t step)
{
    struct rng r = {{(uint32_t)seed, (uint32_t)(seed >> 32)},
                    {(uint32_t)purpose << 24 | layer, step}};
    return r;
}

/* Four words; element e of a stream is word e % 4 of block e / 4. Plain enough for the compiler
 * to vectorise. */
HOST_DEVICE_INLINE void rng_block(const struct rng *r, uint64_t block, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = r->stream[0],
             c3 = r->stream[1];
    uint32_t k0 = r->key[0], k1 = r->key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

HOST_DEVICE_INLINE uint32_t rng_word(const struct rng *r, uint64_t element)
{
    uint32_t w[4];
    rng_block(r, element / 4, w);
    return w[element % 4];
}

/* [0, 1), 24 bits, times 2^-24: every value is a float exactly. */
HOST_DEVICE_INLINE float rng_uniform(uint32_t word)
{
    return (float)(word >> 8) * 5.9604644775390625e-8f;
}

#endif
