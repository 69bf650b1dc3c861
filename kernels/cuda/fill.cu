/* A constant, uniform and normal numbers: four of them a thread, which is one block of random
 * words; 4 bytes written an element. Compiled without contraction, for the CPU's bits. */
#include "kernels/cuda/quads.h"
#include "kernels/normal.h"

static __global__ void fill(float *out, size_t n, size_t quads, float value)
{
    CUDA_EACH(q, quads)
        ((float4 *)out)[q] = make_float4(value, value, value, value);
    CUDA_REST(i, quads, n)
        out[i] = value;
}

/* The elements of block `block` that the array has. */
static __device__ __forceinline__ void store_block(float *out, size_t n, int aligned, size_t block,
                                                   const float v[4])
{
    size_t at = 4 * block;
    if (aligned && n - at >= 4) {
        *(float4 *)(out + at) = make_float4(v[0], v[1], v[2], v[3]);
        return;
    }
    for (int k = 0; k < 4; k++)
        if (at + k < n)
            out[at + k] = v[k];
}

static __global__ void fill_uniform(float *out, size_t n, int aligned, struct rng key, float low,
                                    float high)
{
    CUDA_EACH(block, (n + 3) / 4) {
        uint32_t w[4];
        float v[4];
        rng_block(&key, block, w);
        for (int k = 0; k < 4; k++)
            v[k] = low + (high - low) * rng_uniform(w[k]);
        store_block(out, n, aligned, block, v);
    }
}

static __global__ void fill_normal(float *out, size_t n, int aligned, struct rng key, float mean,
                                   float stddev)
{
    CUDA_EACH(block, (n + 3) / 4) {
        uint32_t w[4];
        float v[4];
        rng_block(&key, block, w);
        normal_pair(w[0], w[1], &v[0], &v[1]);
        normal_pair(w[2], w[3], &v[2], &v[3]);
        for (int k = 0; k < 4; k++)
            v[k] = mean + stddev * v[k];
        store_block(out, n, aligned, block, v);
    }
}

void CUDA(fill)(struct device *d, float *out, size_t n, float value)
{
    size_t quads = cuda_quads(n, out);
    LAUNCH_EACH(d, fill, cuda_quads_work(n, quads), out, n, quads, value);
}

void CUDA(fill_uniform)(struct device *d, float *out, size_t n, const struct rng *key, float low,
                        float high)
{
    LAUNCH_EACH(d, fill_uniform, (n + 3) / 4, out, n, cuda_aligned(out, 16), *key, low, high);
}

void CUDA(fill_normal)(struct device *d, float *out, size_t n, const struct rng *key, float mean,
                       float stddev)
{
    LAUNCH_EACH(d, fill_normal, (n + 3) / 4, out, n, cuda_aligned(out, 16), *key, mean, stddev);
}
