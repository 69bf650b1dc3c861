/* Activations, a quad a thread: forward moves 8 bytes an element, backward 12, adding 16. */
#include "kernels/cuda/act.h"
#include "kernels/cuda/quads.h"

static __global__ void act_forward(float *out, const float *inp, size_t n, size_t quads,
                                   enum act act)
{
    CUDA_EACH(q, quads) {
        float4 x = ((const float4 *)inp)[q];
        ((float4 *)out)[q] = make_float4(cuda_act(x.x, act), cuda_act(x.y, act), cuda_act(x.z, act),
                                         cuda_act(x.w, act));
    }
    CUDA_REST(i, quads, n)
        out[i] = cuda_act(inp[i], act);
}

void CUDA(act_forward)(struct device *d, float *out, const float *inp, size_t n, enum act act)
{
    if (act == ACT_NONE && out == inp)
        return;
    size_t quads = cuda_quads(n, out, inp);
    LAUNCH_EACH(d, act_forward, cuda_quads_work(n, quads), out, inp, n, quads, act);
}

/* d act / dx from the output. */
static __device__ __forceinline__ float slope(float out, enum act act)
{
    switch (act) {
    case ACT_RELU:
        return out > 0 ? 1.0f : 0.0f;
    case ACT_LEAKY:
        return out > 0 ? 1.0f : ACT_LEAKY_PERCENT * 0.01f;
    case ACT_SIGMOID:
        return out * (1.0f - out);
    default:
        return 1.0f;
    }
}

static __global__ void act_backward(float *dinp, const float *dout, const float *out, size_t n,
                                    size_t quads, enum act act, int add)
{
    CUDA_EACH(q, quads) {
        float4 y = ((const float4 *)out)[q], dy = ((const float4 *)dout)[q];
        float4 g = make_float4(dy.x * slope(y.x, act), dy.y * slope(y.y, act),
                               dy.z * slope(y.z, act), dy.w * slope(y.w, act));
        if (add) {
            float4 was = ((float4 *)dinp)[q];
            g = make_float4(was.x + g.x, was.y + g.y, was.z + g.z, was.w + g.w);
        }
        ((float4 *)dinp)[q] = g;
    }
    CUDA_REST(i, quads, n) {
        float g = dout[i] * slope(out[i], act);
        dinp[i] = add ? dinp[i] + g : g;
    }
}

void CUDA(act_backward)(struct device *d, float *dinp, const float *dout, const float *out,
                        size_t n, enum act act, int add)
{
    size_t quads = cuda_quads(n, dinp, dout, out);
    LAUNCH_EACH(d, act_backward, cuda_quads_work(n, quads), dinp, dout, out, n, quads, act, add);
}
