/*
 * Two standard normal numbers from two random words: Box, Muller, "A note on the generation of
 * random normal deviates", 1958, with polynomials of our own for the logarithm, sine and cosine, so
 * that a loop over it vectorises and every instruction set gives the same bits. For that a file
 * that includes this must be compiled without contraction of a * b + c.
 */
#ifndef KERNELS_NORMAL_H
#define KERNELS_NORMAL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/inline.h"

/* -2 ln u for u in (0, 1], absolute error below 2e-7 of the larger of 1 and the result. */
HOST_DEVICE_INLINE float normal_minus_two_log(float u)
{
    uint32_t bits;
    memcpy(&bits, &u, sizeof(bits));
    /* u = m * 2^e with m in [sqrt(1/2), sqrt(2)): the subtraction moves the exponent's step to
     * sqrt(1/2). */
    int32_t e = (int32_t)(bits - 0x3f3504f3u) >> 23;
    bits -= (uint32_t)e << 23;
    float m;
    memcpy(&m, &bits, sizeof(m));
    /* ln m = 2 artanh(s) with s = (m - 1) / (m + 1), |s| <= 0.1716: four terms leave 2e-8. */
    float s = (m - 1.0f) / (m + 1.0f), q = s * s;
    float p = 0.28571430f + q * 0.22222222f;
    p = 0.4f + q * p;
    p = 0.66666667f + q * p;
    float log_m = s * (2.0f + q * p);
    return -2.0f * ((float)e * 0.69314718f + log_m);
}

/* Sine and cosine of 2 pi turn / 2^32. */
HOST_DEVICE_INLINE void normal_sincos(uint32_t turn, float *sine, float *cosine)
{
    uint32_t quarter = (turn + 0x20000000u) >> 30;
    int32_t rest = (int32_t)(turn - (quarter << 30)); /* the nearest quarter off: +- 1/8 turn */
    float x = (float)rest * 1.4629180793e-9f;         /* 2 pi / 2^32 */
    float q = x * x;
    float ps = 8.3333333e-3f + q * (-1.9841270e-4f + q * 2.7557319e-6f);
    float s = x + x * (q * (-0.16666667f + q * ps));
    float pc = -1.3888889e-3f + q * 2.4801587e-5f;
    float c = 1.0f + q * (-0.5f + q * (4.1666667e-2f + q * pc));
    /* quarter 1: (c, -s), 2: (-s, -c), 3: (-c, s), by bits, so that it stays in the vector. */
    uint32_t sb, cb, odd = -(quarter & 1);
    memcpy(&sb, &s, sizeof(sb));
    memcpy(&cb, &c, sizeof(cb));
    uint32_t out_s = ((cb & odd) | (sb & ~odd)) ^ (quarter & 2) << 30;
    uint32_t out_c = ((sb & odd) | (cb & ~odd)) ^ ((quarter + 1) & 2) << 30;
    memcpy(sine, &out_s, sizeof(out_s));
    memcpy(cosine, &out_c, sizeof(out_c));
}

HOST_DEVICE_INLINE void normal_pair(uint32_t w0, uint32_t w1, float *a, float *b)
{
    /* 31 bits times 2^-31, never 0: the tails reach 6.6. */
    float u = ((float)(int32_t)(w0 >> 1) + 0.5f) * 4.656612873077392578125e-10f;
    float radius = sqrtf(normal_minus_two_log(u)), s, c;
    normal_sincos(w1, &s, &c);
    *a = radius * c;
    *b = radius * s;
}

#endif
