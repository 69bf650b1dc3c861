/*
 * Dropout: a block of four random words a thread, the numbers of base/rng.h, so the mask is the
 * CPU's, bit for bit, and is never stored. 8 bytes an element, 12 where backward adds; the
 * generator's ten rounds hide behind them.
 */
#include "kernels/cuda/quads.h"

struct mask {
    size_t n;
    float p, scale;
    struct rng key;
    uint64_t block; /* of the first element, which is element `lead` of its block */
    uint32_t lead;
    int quads; /* whole blocks lie at 16 bytes in both arrays */
    int add;
};

static __device__ __forceinline__ float kept(float x, uint32_t word, float was,
                                             const struct mask &s)
{
    float y = rng_uniform(word) >= s.p ? x * s.scale : 0.0f;
    return s.add ? was + y : y;
}

static __global__ void dropout(float *out, const float *inp, struct mask s)
{
    CUDA_EACH(block, (s.n + s.lead + 3) / 4) {
        uint32_t w[4];
        rng_block(&s.key, s.block + block, w);
        size_t at = 4 * block - s.lead; /* wraps below 0 for what lies before the array */
        if (s.quads && at < s.n && s.n - at >= 4) {
            float4 x = *(const float4 *)(inp + at), y = make_float4(0, 0, 0, 0);
            if (s.add)
                y = *(float4 *)(out + at);
            *(float4 *)(out + at) = make_float4(kept(x.x, w[0], y.x, s), kept(x.y, w[1], y.y, s),
                                                kept(x.z, w[2], y.z, s), kept(x.w, w[3], y.w, s));
            continue;
        }
        for (uint32_t k = 0; k < 4; k++) {
            size_t i = at + k;
            if (i < s.n)
                out[i] = kept(inp[i], w[k], s.add ? out[i] : 0, s);
        }
    }
}

/* Whether elements that are multiples of four in the stream lie at 16 bytes. */
static int whole_blocks(const float *x, uint32_t lead)
{
    return (uintptr_t)x % 4 == 0 && ((uintptr_t)x / 4 - lead) % 4 == 0;
}

void CUDA(dropout_backward)(struct device *d, float *dinp, const float *dout, size_t n, float p,
                            const struct rng *key, uint64_t first, int add)
{
    struct mask s;
    s.n = n;
    s.p = p;
    s.scale = p < 1 ? 1 / (1 - p) : 0;
    s.key = *key;
    s.block = first / 4;
    s.lead = (uint32_t)(first % 4);
    s.quads = whole_blocks(dinp, s.lead) && whole_blocks(dout, s.lead);
    s.add = add;
    if (n > 0)
        LAUNCH_EACH(d, dropout, (n + s.lead + 3) / 4, dinp, dout, s);
}

/* Forward is what backward does, on other numbers. */
void CUDA(dropout_forward)(struct device *d, float *out, const float *inp, size_t n, float p,
                           const struct rng *key, uint64_t first)
{
    CUDA(dropout_backward)(d, out, inp, n, p, key, first, 0);
}
