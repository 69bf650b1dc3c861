/* A constant, uniform and normal numbers. */
#include "kernels/normal.h"
#include "kernels/ref/ref.h"

void ref_fill(struct device *d, float *out, size_t n, float value)
{
    for (size_t i = 0; i < n; i++)
        out[i] = value;
}

void ref_fill_uniform(struct device *d, float *out, size_t n, const struct rng *key, float low,
                      float high)
{
    for (size_t i = 0; i < n; i++)
        out[i] = low + (high - low) * rng_uniform(rng_word(key, i));
}

void ref_fill_normal(struct device *d, float *out, size_t n, const struct rng *key, float mean,
                     float stddev)
{
    for (size_t i = 0; i < n; i += 2) {
        float z[2];
        normal_pair(rng_word(key, i), rng_word(key, i + 1), &z[0], &z[1]);
        for (size_t k = 0; k < 2 && i + k < n; k++)
            out[i + k] = mean + stddev * z[k];
    }
}
