/* The ceiling of a GPU's arithmetic: fused multiply-adds in registers alone. */
#include "bench/cuda_peak.h"

#include "kernels/cuda/cuda.h"

#ifdef EMULATED /* which is slow, and has no ceiling */
enum { CHAINS = 8, STEPS = 16, BLOCKS_EACH = 1 };
#else
enum { CHAINS = 8, STEPS = 4096, BLOCKS_EACH = 16 };
#endif

/* Chains that do not wait for one another; what they come to is stored where nobody asks for it. */
static __global__ void multiply_add(float *out, float b, float c)
{
    float a[CHAINS];
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
        a[i] = (float)((int)threadIdx.x + i);
    for (int step = 0; step < STEPS; step++)
#pragma unroll
        for (int i = 0; i < CHAINS; i++)
            a[i] = a[i] * b + c;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < CHAINS; i++)
        sum += a[i];
    out[(size_t)blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

double cuda_peak_run(struct device *d, float *out)
{
    unsigned blocks = (unsigned)cuda_of(d)->sm_count * BLOCKS_EACH;
    LAUNCH(d, multiply_add, blocks, CUDA_BLOCK, 0, out, 0.999f, 0.001f);
    return 2.0 * CHAINS * STEPS * CUDA_BLOCK * blocks;
}

size_t cuda_peak_floats(struct device *d)
{
    return (size_t)cuda_of(d)->sm_count * BLOCKS_EACH * CUDA_BLOCK;
}
