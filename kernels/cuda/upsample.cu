/*
 * Nearest neighbour: a thread an output forward, a thread an input backward; by two, YOLO's factor,
 * a thread an input both ways, with its two rows of two pixels in pairs. The small image crosses
 * memory once, and the large one.
 */
#include "kernels/cuda/images.h"
#include "kernels/cuda/quads.h"

struct upsample {
    uint32_t count, w, factor;          /* of threads; of the small image */
    struct divisor by_width, by_factor; /* the width of what is counted */
    int add;
};

static __global__ void upsample_forward(float *out, const float *inp, struct upsample p)
{
    CUDA_EACH(i, p.count) {
        uint32_t row = divide((uint32_t)i, p.by_width);
        uint32_t x = divide((uint32_t)i - row * p.w * p.factor, p.by_factor);
        out[i] = inp[divide(row, p.by_factor) * p.w + x];
    }
}

static __global__ void upsample_backward(float *dinp, const float *dout, struct upsample p)
{
    CUDA_EACH(i, p.count) {
        uint32_t row = divide((uint32_t)i, p.by_width), x = (uint32_t)i - row * p.w;
        size_t wide = (size_t)p.w * p.factor;
        const float *from = dout + row * p.factor * wide + x * p.factor;
        float sum = 0;
        for (uint32_t fy = 0; fy < p.factor; fy++) {
            float line = 0;
            for (uint32_t fx = 0; fx < p.factor; fx++)
                line += from[fy * wide + fx];
            sum += line;
        }
        dinp[i] = p.add ? dinp[i] + sum : sum;
    }
}

/* The upper of small pixel i's two pairs in the large image; the other lies 2 w on. */
static __device__ __forceinline__ size_t pair_at(uint32_t i, const struct upsample &p)
{
    return 2 * ((size_t)i + divide(i, p.by_width) * (size_t)p.w);
}

static __global__ void upsample_forward_2(float *out, const float *inp, struct upsample p)
{
    CUDA_EACH(i, p.count) {
        float2 *to = (float2 *)(out + pair_at((uint32_t)i, p));
        float2 pair = make_float2(inp[i], inp[i]);
        to[0] = pair;
        to[p.w] = pair;
    }
}

static __global__ void upsample_backward_2(float *dinp, const float *dout, struct upsample p)
{
    CUDA_EACH(i, p.count) {
        const float2 *from = (const float2 *)(dout + pair_at((uint32_t)i, p));
        float2 top = from[0], bottom = from[p.w];
        float sum = top.x + top.y + (bottom.x + bottom.y);
        dinp[i] = p.add ? dinp[i] + sum : sum;
    }
}

/* by: the width of what has a thread an element. */
static struct upsample upsample_make(int w, int factor, int by, int add)
{
    struct upsample p = {0,
                         (uint32_t)w,
                         (uint32_t)factor,
                         divisor_make((uint32_t)by),
                         divisor_make((uint32_t)factor),
                         add};
    return p;
}

void CUDA(upsample_forward)(struct device *d, float *out, const float *inp, int n, int c, int h,
                            int w, int factor)
{
    int two = factor == 2 && cuda_aligned(out, 8);
    size_t small = (size_t)h * (size_t)w, large = small * (size_t)factor * (size_t)factor;
    struct upsample p = upsample_make(w, factor, two ? w : w * factor, 0);
    for (struct images i = images_first((size_t)n * (size_t)c, large); i.count;
         i = images_next(i)) {
        float *to = out + i.first * large;
        const float *from = inp + i.first * small;
        p.count = (uint32_t)(i.count * (two ? small : large));
        if (two)
            LAUNCH_EACH(d, upsample_forward_2, p.count, to, from, p);
        else
            LAUNCH_EACH(d, upsample_forward, p.count, to, from, p);
    }
}

void CUDA(upsample_backward)(struct device *d, float *dinp, const float *dout, int n, int c, int h,
                             int w, int factor, int add)
{
    int two = factor == 2 && cuda_aligned(dout, 8);
    size_t small = (size_t)h * (size_t)w, large = small * (size_t)factor * (size_t)factor;
    struct upsample p = upsample_make(w, factor, w, add);
    for (struct images i = images_first((size_t)n * (size_t)c, large); i.count;
         i = images_next(i)) {
        float *to = dinp + i.first * small;
        const float *from = dout + i.first * large;
        p.count = (uint32_t)(i.count * small);
        if (two)
            LAUNCH_EACH(d, upsample_backward_2, p.count, to, from, p);
        else
            LAUNCH_EACH(d, upsample_backward, p.count, to, from, p);
    }
}
