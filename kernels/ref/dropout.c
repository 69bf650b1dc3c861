/* Dropout (Srivastava et al. 2014), scaled in training; the mask is a function of the element's
 * number. */
#include "kernels/ref/ref.h"

static float kept(float x, float p, float scale, const struct rng *key, uint64_t element)
{
    return rng_uniform(rng_word(key, element)) >= p ? x * scale : 0;
}

void ref_dropout_forward(struct device *d, float *out, const float *inp, size_t n, float p,
                         const struct rng *key, uint64_t first)
{
    float scale = p < 1 ? 1 / (1 - p) : 0;
    for (size_t i = 0; i < n; i++)
        out[i] = kept(inp[i], p, scale, key, first + i);
}

void ref_dropout_backward(struct device *d, float *dinp, const float *dout, size_t n, float p,
                          const struct rng *key, uint64_t first, int add)
{
    float scale = p < 1 ? 1 / (1 - p) : 0;
    for (size_t i = 0; i < n; i++) {
        float g = kept(dout[i], p, scale, key, first + i);
        dinp[i] = add ? dinp[i] + g : g;
    }
}
