/*
 * Random words by the 256: the Philox blocks of base/rng.h, one in each 32-bit lane of a vector.
 * Written with vectors because compilers multiply 64 by 64 bits where one instruction gives 32 by
 * 32.
 */
#ifndef KERNELS_CPU_RNG_CHUNK_H
#define KERNELS_CPU_RNG_CHUNK_H

#include <stdint.h>

#include "base/rng.h"
#include "kernels/cpu/vector.h"

#if defined(__AVX512F__) || defined(__AVX2__) || defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

enum { RNG_CHUNK_BLOCKS = 64, RNG_CHUNK = 4 * RNG_CHUNK_BLOCKS };

typedef uint32_t rng_v32 __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef uint64_t rng_v64 __attribute__((vector_size(VL * 4)));

/* The 64-bit products of the low halves of each 64-bit lane. */
static inline rng_v64 rng_multiply_low(rng_v64 a, rng_v64 b)
{
#if defined(__AVX512F__)
    return (rng_v64)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (rng_v64)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return (rng_v64)_mm_mul_epu32((__m128i)a, (__m128i)b);
#elif defined(__ARM_NEON)
    return (rng_v64)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#else
    return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

static inline void rng_multiply(rng_v32 a, uint32_t b, rng_v32 *high, rng_v32 *low)
{
    const rng_v64 mask = (rng_v64){0} + 0xffffffffu, factor = (rng_v64){0} + b;
    rng_v64 even = rng_multiply_low((rng_v64)a, factor);
    rng_v64 odd = rng_multiply_low((rng_v64)a >> 32, factor);
    *low = (rng_v32)((even & mask) | (odd << 32));
    *high = (rng_v32)((even >> 32) | (odd & ~mask));
}

/* Word k of block first + i into words[k][i]. Two vectors of blocks at a time: each round waits
 * for the last. */
static inline void rng_chunk_lanes(const struct rng *r, uint64_t first,
                                   uint32_t words[4][RNG_CHUNK_BLOCKS])
{
    for (int b = 0; b < RNG_CHUNK_BLOCKS; b += 2 * VL) {
        rng_v32 c[2][4];
        for (int v = 0; v < 2; v++) {
            uint32_t low[VL], high[VL];
            for (int i = 0; i < VL; i++) {
                uint64_t block = first + (uint64_t)(b + v * VL + i);
                low[i] = (uint32_t)block;
                high[i] = (uint32_t)(block >> 32);
            }
            c[v][0] = *(const rng_v32 *)low;
            c[v][1] = *(const rng_v32 *)high;
            c[v][2] = (rng_v32){0} + r->stream[0];
            c[v][3] = (rng_v32){0} + r->stream[1];
        }
        uint32_t k0 = r->key[0], k1 = r->key[1];
        for (int round = 0; round < 10; round++) {
            for (int v = 0; v < 2; v++) {
                rng_v32 high0, low0, high1, low1;
                rng_multiply(c[v][0], 0xD2511F53u, &high0, &low0);
                rng_multiply(c[v][2], 0xCD9E8D57u, &high1, &low1);
                c[v][0] = high1 ^ c[v][1] ^ k0;
                c[v][2] = high0 ^ c[v][3] ^ k1;
                c[v][1] = low1;
                c[v][3] = low0;
            }
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        for (int v = 0; v < 2; v++)
            for (int k = 0; k < 4; k++)
                *(rng_v32 *)&words[k][b + v * VL] = c[v][k];
    }
}

/* Words 4 * first .. of the stream, in order. */
static inline void rng_chunk(const struct rng *r, uint64_t first, uint32_t words[RNG_CHUNK])
{
    uint32_t lanes[4][RNG_CHUNK_BLOCKS];
    rng_chunk_lanes(r, first, lanes);
    for (int i = 0; i < RNG_CHUNK_BLOCKS; i++)
        for (int k = 0; k < 4; k++)
            words[4 * i + k] = lanes[k][i];
}

#endif
