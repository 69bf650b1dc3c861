/* Sums of two arrays, a quad a thread: 12 bytes an element. Every update of weights is this. */
#include "kernels/cuda/quads.h"

/* y = a x + b y; with b == 1 the product with y is exact, so that axpy has no kernel of its own. */
static __global__ void axpby(float *y, const float *x, size_t n, size_t quads, float a, float b)
{
    CUDA_EACH(q, quads) {
        float4 u = ((const float4 *)x)[q], v = ((float4 *)y)[q];
        ((float4 *)y)[q] =
            make_float4(a * u.x + b * v.x, a * u.y + b * v.y, a * u.z + b * v.z, a * u.w + b * v.w);
    }
    CUDA_REST(i, quads, n)
        y[i] = a * x[i] + b * y[i];
}

void CUDA(axpy)(struct device *d, float *y, const float *x, size_t n, float a)
{
    CUDA(axpby)(d, y, x, n, a, 1.0f);
}

void CUDA(axpby)(struct device *d, float *y, const float *x, size_t n, float a, float b)
{
    size_t quads = cuda_quads(n, y, x);
    LAUNCH_EACH(d, axpby, cuda_quads_work(n, quads), y, x, n, quads, a, b);
}
