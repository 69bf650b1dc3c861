/*
 * Half precision and back, 6 bytes an element, a quad a thread. In integers, not by the GPU's own
 * instruction: that turns every NaN into one, and the CPU's bits are kept.
 */
#include "kernels/cuda/quads.h"
#include "kernels/half.h"

static __global__ void f32_to_f16(uint16_t *out, const float *inp, size_t n, size_t quads)
{
    CUDA_EACH(q, quads) {
        float4 x = ((const float4 *)inp)[q];
        ((ushort4 *)out)[q] =
            make_ushort4(half_from(x.x), half_from(x.y), half_from(x.z), half_from(x.w));
    }
    CUDA_REST(i, quads, n)
        out[i] = half_from(inp[i]);
}

static __global__ void f16_to_f32(float *out, const uint16_t *inp, size_t n, size_t quads)
{
    CUDA_EACH(q, quads) {
        ushort4 h = ((const ushort4 *)inp)[q];
        ((float4 *)out)[q] = make_float4(half_to_float(h.x), half_to_float(h.y), half_to_float(h.z),
                                         half_to_float(h.w));
    }
    CUDA_REST(i, quads, n)
        out[i] = half_to_float(inp[i]);
}

static size_t quads_of(size_t n, const float *x, const uint16_t *h)
{
    return cuda_aligned(h, 8) ? cuda_quads(n, x) : 0;
}

void CUDA(f32_to_f16)(struct device *d, uint16_t *out, const float *inp, size_t n)
{
    size_t quads = quads_of(n, inp, out);
    LAUNCH_EACH(d, f32_to_f16, cuda_quads_work(n, quads), out, inp, n, quads);
}

void CUDA(f16_to_f32)(struct device *d, float *out, const uint16_t *inp, size_t n)
{
    size_t quads = quads_of(n, out, inp);
    LAUNCH_EACH(d, f16_to_f32, cuda_quads_work(n, quads), out, inp, n, quads);
}
