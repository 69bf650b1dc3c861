/* IEEE half precision and back, bit for bit what the reference gives: by the CPU's own
 * instruction or in integers. */
#include "kernels/cpu/ranges.h"
#include "kernels/half.h"

#if defined(__F16C__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

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
        out[i] = half_to_float(inp[i]);
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
