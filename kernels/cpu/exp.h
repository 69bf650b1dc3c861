/* e^x in plain C, so that a loop over it vectorises. */
#ifndef KERNELS_CPU_EXP_H
#define KERNELS_CPU_EXP_H

#include <stdint.h>
#include <string.h>

/* e^x: 2^k * e^r with |r| <= ln 2 / 2; relative error 2e-7, NaN stays NaN. */
static inline float exp_poly(float x)
{
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float shifted = x * 1.44269504f + 0x1.8p23f; /* the sum's low bits are the nearest integer */
    uint32_t k;
    memcpy(&k, &shifted, sizeof(k));
    float whole = shifted - 0x1.8p23f;
    float r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    float p = 1.9875691e-4f;
    p = p * r + 1.3981999e-3f;
    p = p * r + 8.3334519e-3f;
    p = p * r + 4.1665796e-2f;
    p = p * r + 1.6666665e-1f;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &p, sizeof(bits));
    bits += k << 23;
    memcpy(&p, &bits, sizeof(p));
    return p;
}

#endif
