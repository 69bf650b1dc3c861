/* A constant, uniform and normal numbers; compiled without contraction, for the CPU's bits. */
#include "kernels/cuda/cuda.h"
#include "kernels/normal.h"

static __global__ void fill(float *out, size_t n, float value)
{
    CUDA_EACH(i, n)
    out[i] = value;
}

static __global__ void fill_uniform(float *out, size_t n, struct rng key, float low, float high)
{
    CUDA_EACH(i, n)
    out[i] = low + (high - low) * rng_uniform(rng_word(&key, i));
}

/* A thread a pair. */
static __global__ void fill_normal(float *out, size_t n, struct rng key, float mean, float stddev)
{
    CUDA_EACH(pair, (n + 1) / 2)
    {
        size_t i = 2 * pair;
        float z0, z1;
        normal_pair(rng_word(&key, i), rng_word(&key, i + 1), &z0, &z1);
        out[i] = mean + stddev * z0;
        if (i + 1 < n)
            out[i + 1] = mean + stddev * z1;
    }
}

void CUDA(fill)(struct device *d, float *out, size_t n, float value)
{
    LAUNCH_EACH(d, fill, n, out, n, value);
}

void CUDA(fill_uniform)(struct device *d, float *out, size_t n, const struct rng *key, float low,
                        float high)
{
    LAUNCH_EACH(d, fill_uniform, n, out, n, *key, low, high);
}

void CUDA(fill_normal)(struct device *d, float *out, size_t n, const struct rng *key, float mean,
                       float stddev)
{
    LAUNCH_EACH(d, fill_normal, (n + 1) / 2, out, n, *key, mean, stddev);
}
