/*
 * Max-pool, a thread an output forward, a thread an input backward: it looks into the windows that
 * cover it, in the reference's order, so nothing is added atomically. Forward reads the image once
 * and writes 4 bytes an output, 1 more with arg; windows that overlap meet in the L1 cache. 2 x 2
 * at stride 2 over an even image, the classifiers' case, has kernels of its own: pixels in pairs,
 * one division, and backward a thread an output too.
 */
#include <math.h>

#include "kernels/cuda/cudnn_paths.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/quads.h"

struct maxpool {
    struct pool_dims s;
    uint32_t count;              /* outputs; backward: inputs */
    struct divisor w, h, sw, sh; /* of the image that is counted; the strides */
    int add;
};

static __device__ __forceinline__ int wins(float v, float best)
{
    return v > best || v != v;
}

static __global__ void maxpool_forward(float *out, uint8_t *arg, const float *inp, struct maxpool p)
{
    const struct pool_dims &s = p.s;
    CUDA_EACH(i, p.count) {
        uint32_t line = divide((uint32_t)i, p.w), image = divide(line, p.h);
        int x0 = ((int)i - (int)line * s.ow) * s.sw - s.pw;
        int y0 = ((int)line - (int)image * s.oh) * s.sh - s.ph;
        const float *in = inp + image * (size_t)(s.h * s.w);
        float best = -INFINITY;
        int at = -1;
        for (int y = y0 < 0 ? -y0 : 0; y < s.kh && y0 + y < s.h; y++) {
            for (int x = x0 < 0 ? -x0 : 0; x < s.kw && x0 + x < s.w; x++) {
                float v = in[(y0 + y) * s.w + x0 + x];
                if (at < 0 || wins(v, best)) {
                    best = v;
                    at = y * s.kw + x;
                }
            }
        }
        out[i] = best;
        if (arg)
            arg[i] = (uint8_t)(at < 0 ? 0 : at);
    }
}

/* Windows y with y sh - ph <= iy < y sh - ph + kh. */
static __device__ __forceinline__ int first_window(int at, int pad, int kernel,
                                                   struct divisor stride)
{
    int least = at + pad - kernel + 1;
    return least > 0 ? (int)divide((uint32_t)(least - 1), stride) + 1 : 0;
}

static __device__ __forceinline__ int last_window(int at, int pad, struct divisor stride, int most)
{
    int last = (int)divide((uint32_t)(at + pad), stride);
    return last < most ? last : most;
}

static __global__ void maxpool_backward(float *dinp, const float *dout, const uint8_t *arg,
                                        struct maxpool p)
{
    const struct pool_dims &s = p.s;
    CUDA_EACH(i, p.count) {
        uint32_t line = divide((uint32_t)i, p.w), image = divide(line, p.h);
        int ix = (int)i - (int)line * s.w, iy = (int)line - (int)image * s.h;
        int x0 = first_window(ix, s.pw, s.kw, p.sw), x1 = last_window(ix, s.pw, p.sw, s.ow - 1);
        int y0 = first_window(iy, s.ph, s.kh, p.sh), y1 = last_window(iy, s.ph, p.sh, s.oh - 1);
        size_t outs = image * (size_t)(s.oh * s.ow);
        float g = p.add ? dinp[i] : 0.0f;
        for (int y = y0; y <= y1; y++) {
            for (int x = x0; x <= x1; x++) {
                size_t o = outs + (size_t)(y * s.ow + x);
                if (arg[o] == (iy + s.ph - y * s.sh) * s.kw + ix + s.pw - x * s.sw)
                    g += dout[o];
            }
        }
        dinp[i] = g;
    }
}

/* Where in the image the upper pair of output i's window lies. */
static __device__ __forceinline__ size_t pair_at(uint32_t i, const struct maxpool &p)
{
    uint32_t line = divide(i, p.w);
    return (size_t)line * (uint32_t)p.s.w + 2 * (size_t)i;
}

static __global__ void maxpool_forward_2x2(float *out, uint8_t *arg, const float *inp,
                                           struct maxpool p)
{
    CUDA_EACH(i, p.count) {
        const float *in = inp + pair_at((uint32_t)i, p);
        float2 top = *(const float2 *)in, bottom = *(const float2 *)(in + p.s.w);
        float best = top.x;
        int at = 0;
        at = wins(top.y, best) ? 1 : at;
        best = wins(top.y, best) ? top.y : best;
        at = wins(bottom.x, best) ? 2 : at;
        best = wins(bottom.x, best) ? bottom.x : best;
        at = wins(bottom.y, best) ? 3 : at;
        best = wins(bottom.y, best) ? bottom.y : best;
        out[i] = best;
        if (arg)
            arg[i] = (uint8_t)at;
    }
}

static __global__ void maxpool_backward_2x2(float *dinp, const float *dout, const uint8_t *arg,
                                            struct maxpool p)
{
    CUDA_EACH(i, p.count) {
        size_t at = pair_at((uint32_t)i, p);
        float2 *upper = (float2 *)(dinp + at), *lower = (float2 *)(dinp + at + p.s.w);
        float2 top = make_float2(0, 0), bottom = make_float2(0, 0);
        if (p.add) {
            top = *upper;
            bottom = *lower;
        }
        float g = dout[i];
        int from = arg[i];
        *upper = make_float2(from == 0 ? top.x + g : top.x, from == 1 ? top.y + g : top.y);
        *lower =
            make_float2(from == 2 ? bottom.x + g : bottom.x, from == 3 ? bottom.y + g : bottom.y);
    }
}

/* Every pixel lies in one window of 2 x 2, and its rows in pairs at 8 bytes. */
static int all_2x2(const struct pool_dims *s, const float *image)
{
    return s->kh == 2 && s->kw == 2 && s->sh == 2 && s->sw == 2 && !s->ph && !s->pw &&
           s->h == 2 * s->oh && s->w == 2 * s->ow && cuda_aligned(image, 8);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

void CUDA(maxpool_forward)(struct device *d, float *out, uint8_t *arg, const float *inp,
                           const struct pool_dims *s)
{
    size_t ins = (size_t)s->h * (size_t)s->w, outs = (size_t)s->oh * (size_t)s->ow;
    struct maxpool p;
    if (cudnn_maxpool_forward(d, out, arg, inp, s))
        return;
    p.s = *s;
    p.w = divisor_make((uint32_t)s->ow);
    p.h = divisor_make((uint32_t)s->oh);
    for (struct images i = images_first((size_t)s->n * (size_t)s->c, larger(ins, outs)); i.count;
         i = images_next(i)) {
        float *to = out + i.first * outs;
        uint8_t *to_arg = arg ? arg + i.first * outs : NULL;
        const float *from = inp + i.first * ins;
        p.count = (uint32_t)(i.count * outs);
        if (all_2x2(s, inp))
            LAUNCH_EACH(d, maxpool_forward_2x2, p.count, to, to_arg, from, p);
        else
            LAUNCH_EACH(d, maxpool_forward, p.count, to, to_arg, from, p);
    }
}

void CUDA(maxpool_backward)(struct device *d, float *dinp, const float *dout, const uint8_t *arg,
                            const struct pool_dims *s, int add)
{
    size_t ins = (size_t)s->h * (size_t)s->w, outs = (size_t)s->oh * (size_t)s->ow;
    int pairs = all_2x2(s, dinp);
    struct maxpool p;
    p.s = *s;
    p.w = divisor_make((uint32_t)(pairs ? s->ow : s->w));
    p.h = divisor_make((uint32_t)(pairs ? s->oh : s->h));
    p.sw = divisor_make((uint32_t)s->sw);
    p.sh = divisor_make((uint32_t)s->sh);
    p.add = add;
    for (struct images i = images_first((size_t)s->n * (size_t)s->c, larger(ins, outs)); i.count;
         i = images_next(i)) {
        float *to = dinp + i.first * ins;
        const float *from = dout + i.first * outs;
        const uint8_t *from_arg = arg + i.first * outs;
        p.count = (uint32_t)(i.count * (pairs ? outs : ins));
        if (pairs)
            LAUNCH_EACH(d, maxpool_backward_2x2, p.count, to, from, from_arg, p);
        else
            LAUNCH_EACH(d, maxpool_backward, p.count, to, from, from_arg, p);
    }
}
