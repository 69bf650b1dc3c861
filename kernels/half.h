/* IEEE half precision in integers, round to nearest even, bit for bit what kernels/ref/convert.c
 * defines; plain enough that a loop over it vectorises. CPU and GPU kernels share it. */
#ifndef KERNELS_HALF_H
#define KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

#include "base/inline.h"

HOST_DEVICE_INLINE uint16_t half_from(float x)
{
    uint32_t bits, half_unit;
    memcpy(&bits, &x, sizeof(bits));
    uint32_t size = bits & 0x7fffffffu, sign = bits >> 16 & 0x8000u;
    /* Normal: rebias the exponent, round to even; the carry may reach infinity, as it should. */
    uint32_t normal = (size + 0xfffu + (size >> 13 & 1) - (112u << 23)) >> 13;
    /* Subnormal: added to 1/2 the unit in the last place is a half's 2^-24, so the addition
     * rounds. */
    float shifted;
    memcpy(&shifted, &size, sizeof(shifted));
    shifted = shifted + 0.5f;
    memcpy(&half_unit, &shifted, sizeof(half_unit));
    uint32_t small = half_unit - 0x3f000000u;
    uint32_t nan = 0x7e00u | (size >> 13 & 0x3ffu);
    uint32_t h = size < 0x38800000u ? small : normal;
    h = size >= 0x47800000u ? 0x7c00u : h;
    h = size > 0x7f800000u ? nan : h;
    return (uint16_t)(sign | h);
}

HOST_DEVICE_INLINE float half_to_float(uint16_t h)
{
    uint32_t size = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16, bits;
    float x;
    memcpy(&x, &size, sizeof(x));
    x *= 5192296858534827628530496329220096.0f; /* 2^112: rebias; exact for subnormals too */
    memcpy(&bits, &x, sizeof(bits));
    bits = size >= 0x7c00u << 13 ? size | 0x7f800000u : bits;
    bits = size > 0x7c00u << 13 ? bits | 0x00400000u : bits;
    bits |= sign;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

#endif
