/* The ceiling of a GPU's arithmetic: fused multiply-adds, or those of tensor cores, in registers
 * alone. */
#include "bench/cuda_peak.h"

#include "kernels/cuda/gemm_tensor.h"

#ifdef EMULATED /* which is slow, and has no ceiling */
enum { CHAINS = 8, STEPS = 16, BLOCKS_EACH = 1, TENSOR_CHAINS = 4, TENSOR_STEPS = 2 };
#else
enum { CHAINS = 8, STEPS = 4096, BLOCKS_EACH = 16, TENSOR_CHAINS = 4, TENSOR_STEPS = 1024 };
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

/* A warp multiplies 16 x K by K x 16. Empty where an architecture lacks it. */
template <class N, int COMPILED> struct tensor_peak {
    static __device__ inline void run(float *out, float b)
    {
        using namespace nvcuda::wmma;
        fragment<matrix_a, 16, 16, N::K, typename N::piece, row_major> x;
        fragment<matrix_b, 16, 16, N::K, typename N::piece, col_major> y;
        fragment<accumulator, 16, 16, N::K, float> sum[TENSOR_CHAINS];
        typename N::element of_b;
        N::put(&of_b, b, 1);
        fill_fragment(x, of_b);
        fill_fragment(y, of_b);
#pragma unroll
        for (int i = 0; i < TENSOR_CHAINS; i++)
            fill_fragment(sum[i], (float)i);
        for (int step = 0; step < TENSOR_STEPS; step++)
#pragma unroll
            for (int i = 0; i < TENSOR_CHAINS; i++)
                mma_sync(sum[i], x, y, sum[i]);
        float total = 0;
#pragma unroll
        for (int i = 0; i < TENSOR_CHAINS; i++)
#pragma unroll
            for (int e = 0; e < sum[i].num_elements; e++)
                total += sum[i].x[e];
        out[(size_t)blockIdx.x * blockDim.x + threadIdx.x] = total;
    }
};

template <class N> struct tensor_peak<N, 0> {
    static __device__ inline void run(float *, float)
    {
    }
};

template <class N> static __global__ void tensor_multiply_add(float *out, float b)
{
    tensor_peak<N, N::COMPILED>::run(out, b);
}

template <class N> static double run_tensor(struct device *d, float *out, unsigned blocks)
{
    LAUNCH(d, tensor_multiply_add<N>, blocks, CUDA_BLOCK, 0, out, 0.5f);
    return 2.0 * 16 * 16 * N::K * TENSOR_CHAINS * TENSOR_STEPS * (CUDA_BLOCK / 32) * blocks;
}

double cuda_peak_run(struct device *d, float *out)
{
    unsigned blocks = (unsigned)cuda_of(d)->sm_count * BLOCKS_EACH;
    if (cuda_of(d)->math == MATH_TF32)
        return run_tensor<gemm_tf32>(d, out, blocks);
    if (cuda_of(d)->math == MATH_FP16)
        return run_tensor<gemm_half>(d, out, blocks);
    LAUNCH(d, multiply_add, blocks, CUDA_BLOCK, 0, out, 0.999f, 0.001f);
    return 2.0 * CHAINS * STEPS * CUDA_BLOCK * blocks;
}

size_t cuda_peak_floats(struct device *d)
{
    return (size_t)cuda_of(d)->sm_count * BLOCKS_EACH * CUDA_BLOCK;
}
