/* IEEE binary16 by the definition: scaled to the half's units, rounded to nearest even, packed. */
#include <math.h>
#include <string.h>

#include "kernels/ref/ref.h"

static uint16_t half_from(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (isnan(x)) /* quiet, the upper payload kept, as the hardware does */
        return (uint16_t)(sign | 0x7e00 | (bits >> 13 & 0x3ff));
    int exponent;
    double fraction =
        frexp(fabs((double)x), &exponent); /* |x| = fraction * 2^exponent, in [0.5, 1) */
    if (fraction == 0)
        return sign;
    if (isinf(x) || exponent > 16)
        return (uint16_t)(sign | 0x7c00);
    if (exponent < -13)
        exponent = -13; /* subnormal: the unit stops shrinking */
    double units = nearbyint(ldexp(fabs((double)x), 11 - exponent)); /* 1024 .. 2048 if normal */
    int packed =
        ((exponent + 13) << 10) + (int)units; /* a carry moves into the exponent by itself */
    return (uint16_t)(sign | packed);
}

static float float_from(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 0x3ff;
    float x;
    if (exponent == 31 && fraction) {
        uint32_t bits = (uint32_t)(h & 0x8000) << 16 | 0x7fc00000u | (uint32_t)fraction << 13;
        memcpy(&x, &bits, sizeof(x));
        return x;
    }
    if (exponent == 31)
        x = INFINITY;
    else
        x = exponent ? ldexpf((float)(1024 + fraction), exponent - 25)
                     : ldexpf((float)fraction, -24);
    return h & 0x8000 ? -x : x;
}

void ref_f32_to_f16(struct device *d, uint16_t *out, const float *inp, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = half_from(inp[i]);
}

void ref_f16_to_f32(struct device *d, float *out, const uint16_t *inp, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = float_from(inp[i]);
}
