/* Dropout: the mask is drawn again wherever it is needed, 256 words at a time. */
#include <math.h>

#include "kernels/cpu/ranges.h"
#include "kernels/cpu/rng_chunk.h"

struct dropout_args {
    float *out;
    const float *inp;
    const struct rng *key;
    uint64_t first;
    int32_t threshold; /* rng_uniform(w) >= p exactly where w >> 8 reaches it */
    float scale;
    int add;
};

static void dropout_range(const void *arg, size_t from, size_t to)
{
    const struct dropout_args *a = arg;
    uint32_t words[RNG_CHUNK];
    uint64_t element = a->first + from;
    size_t skip = element % 4, i = from;
    int32_t threshold = a->threshold;
    float scale = a->scale;
    for (uint64_t block = element / 4; i < to; block += RNG_CHUNK_BLOCKS) {
        rng_chunk(a->key, block, words);
        const uint32_t *word = words + skip;
        size_t n = RNG_CHUNK - skip < to - i ? RNG_CHUNK - skip : to - i;
        float *out = a->out + i;
        const float *inp = a->inp + i;
        if (a->add) {
            ELEMENTWISE
            for (size_t k = 0; k < n; k++)
                out[k] += (int32_t)(word[k] >> 8) >= threshold ? inp[k] * scale : 0;
        } else {
            ELEMENTWISE
            for (size_t k = 0; k < n; k++)
                out[k] = (int32_t)(word[k] >> 8) >= threshold ? inp[k] * scale : 0;
        }
        i += n;
        skip = 0;
    }
}

static void dropout(struct device *d, float *out, const float *inp, size_t n, float p,
                    const struct rng *key, uint64_t first, int add)
{
    float at = ceilf(p * 0x1p24f);
    struct dropout_args a = {
        .out = out,
        .inp = inp,
        .key = key,
        .first = first,
        .threshold = at >= 0x1p24f ? 1 << 24
                     : at <= 0     ? 0
                                   : (int32_t)at,
        .scale = p < 1 ? 1 / (1 - p) : 0,
        .add = add,
    };
    ranges_run(d, n, RANGE_BLOCK / 2, dropout_range, &a);
}

void CPU(dropout_forward)(struct device *d, float *out, const float *inp, size_t n, float p,
                          const struct rng *key, uint64_t first)
{
    dropout(d, out, inp, n, p, key, first, 0);
}

void CPU(dropout_backward)(struct device *d, float *dinp, const float *dout, size_t n, float p,
                           const struct rng *key, uint64_t first, int add)
{
    dropout(d, dinp, dout, n, p, key, first, add);
}
