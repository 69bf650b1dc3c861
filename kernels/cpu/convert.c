/* IEEE half precision and back, bit for bit what the reference gives: by the CPU's own
 * instruction or in integers. */
#include <string.h>

#include "kernels/cpu/ranges.h"

#if defined(__F16C__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

static inline uint16_t half_from(float x)
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

static inline float float_from(uint16_t h)
{
    uint32_t size = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16, bits;
    float x;
    memcpy(&x, &size, sizeof(x));
    x *= 0x1p112f; /* rebias; exact for subnormals too */
    memcpy(&bits, &x, sizeof(bits));
    bits = size >= 0x7c00u << 13 ? size | 0x7f800000u : bits;
    bits = size > 0x7c00u << 13 ? bits | 0x00400000u : bits;
    bits |= sign;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

struct convert {
    void *out;
    const void *inp;
};

static void to_half(const void *arg, size_t from, size_t to)
{
    const struct convert *c = arg;
    uint16_t *out = c->out;
    const float *inp = c->inp;
    size_t i = from;
#if defined(__F16C__)
    for (; i + 8 <= to; i += 8) {
        __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(inp + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(out + i), h);
    }
#elif defined(__ARM_NEON)
    for (; i + 4 <= to; i += 4)
        vst1_u16(out + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(inp + i))));
#endif
    for (; i < to; i++)
        out[i] = half_from(inp[i]);
}

static void to_float(const void *arg, size_t from, size_t to)
{
    const struct convert *c = arg;
    float *out = c->out;
    const uint16_t *inp = c->inp;
    size_t i = from;
#if defined(__F16C__)
    for (; i + 8 <= to; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(inp + i))));
#elif defined(__ARM_NEON)
    for (; i + 4 <= to; i += 4)
        vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(inp + i))));
#endif
    for (; i < to; i++)
        out[i] = float_from(inp[i]);
}

void CPU(f32_to_f16)(struct device *d, uint16_t *out, const float *inp, size_t n)
{
    struct convert c = {out, inp};
    ranges_run(d, n, RANGE_BLOCK, to_half, &c);
}

void CPU(f16_to_f32)(struct device *d, float *out, const uint16_t *inp, size_t n)
{
    struct convert c = {out, inp};
    ranges_run(d, n, RANGE_BLOCK, to_float, &c);
}
