/*
 * Adaptive average pool and its gradient: both sum over a rectangle, by a thread, or by a warp
 * where the rectangles are large, so that its reads lie side by side. Each array crosses memory
 * once: rectangles of neighbours, which may overlap by a row, meet in the L1 cache.
 */
#include "kernels/cuda/cudnn_paths.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/reduce.h"

/* Bin i of `out` over `in` places covers [floor(i in / out), ceil((i + 1) in / out)); the other way
 * round the same formula gives the bins that cover place i. */
struct bins {
    uint32_t in, out;
    struct divisor by_out;
};

struct pooling {
    size_t count;  /* of results */
    uint32_t w, h; /* sides of a result's image */
    struct divisor by_w, by_h;
    struct bins x, y;   /* a result's rectangle */
    struct bins tx, ty; /* backward: a term's bin, whose mean it was */
    int add;
};

static __device__ __forceinline__ uint32_t bin_start(uint32_t i, const struct bins &b)
{
    return divide(i * b.in, b.by_out);
}

static __device__ __forceinline__ uint32_t bin_end(uint32_t i, const struct bins &b)
{
    return divide((i + 1) * b.in + b.out - 1, b.by_out);
}

static __device__ __forceinline__ float bin_size(uint32_t i, const struct bins &b)
{
    return (float)(bin_end(i, b) - bin_start(i, b));
}

struct rectangle {
    uint32_t x0, x1, y0, y1;
};

template <bool BACKWARD>
static __device__ __forceinline__ float term(const float *in, uint32_t x, uint32_t y,
                                             const struct pooling &p)
{
    float v = in[y * p.x.in + x];
    return BACKWARD ? v / (bin_size(x, p.tx) * bin_size(y, p.ty)) : v;
}

/* Row by row, which also keeps the sums short. */
template <bool BACKWARD>
static __device__ __forceinline__ float sum_alone(const float *in, const struct rectangle &r,
                                                  const struct pooling &p)
{
    float sum = 0;
    for (uint32_t y = r.y0; y < r.y1; y++) {
        float row = 0;
        for (uint32_t x = r.x0; x < r.x1; x++)
            row += term<BACKWARD>(in, x, y, p);
        sum += row;
    }
    return sum;
}

template <bool BACKWARD>
static __device__ __forceinline__ float sum_by_warp(const float *in, const struct rectangle &r,
                                                    const struct pooling &p)
{
    uint32_t width = r.x1 - r.x0, all = width * (r.y1 - r.y0);
    float sum = 0;
    for (uint32_t i = threadIdx.x % CUDA_WARP; i < all; i += CUDA_WARP)
        sum += term<BACKWARD>(in, r.x0 + i % width, r.y0 + i / width, p);
    return warp_sum(sum);
}

/* LANES: threads a result, 1 or a warp. */
template <bool BACKWARD, int LANES>
static __global__ void avgpool(float *out, const float *inp, struct pooling p)
{
    CUDA_EACH(i, p.count * LANES) {
        uint32_t o = (uint32_t)(i / LANES), line = divide(o, p.by_w), image = divide(line, p.by_h);
        uint32_t x = o - line * p.w, y = line - image * p.h;
        struct rectangle r = {bin_start(x, p.x), bin_end(x, p.x), bin_start(y, p.y),
                              bin_end(y, p.y)};
        const float *in = inp + image * (size_t)(p.x.in * p.y.in);
        float sum = LANES == 1 ? sum_alone<BACKWARD>(in, r, p) : sum_by_warp<BACKWARD>(in, r, p);
        if (i % LANES)
            continue;
        if (!BACKWARD)
            sum /= (float)((r.x1 - r.x0) * (r.y1 - r.y0));
        out[o] = p.add ? out[o] + sum : sum;
    }
}

static struct bins bins_make(int in, int out)
{
    CHECK(((uint64_t)in + 1) * ((uint64_t)out + 1) <= DIVIDE_MOST);
    struct bins b = {(uint32_t)in, (uint32_t)out, divisor_make((uint32_t)out)};
    return b;
}

/* Images of in_h x in_w to images of h x w. */
template <bool BACKWARD>
static void run(struct device *d, float *out, const float *inp, size_t images, int in_h, int in_w,
                int h, int w, int add)
{
    size_t ins = (size_t)in_h * (size_t)in_w, outs = (size_t)h * (size_t)w;
    struct pooling p;
    p.w = (uint32_t)w;
    p.h = (uint32_t)h;
    p.by_w = divisor_make(p.w);
    p.by_h = divisor_make(p.h);
    p.x = bins_make(in_w, w);
    p.y = bins_make(in_h, h);
    p.tx = bins_make(w, in_w);
    p.ty = bins_make(h, in_h);
    p.add = add;
    for (struct images i = images_first(images, ins > outs ? ins : outs); i.count;
         i = images_next(i)) {
        float *to = out + i.first * outs;
        const float *from = inp + i.first * ins;
        p.count = i.count * outs;
        if (ins / outs < CUDA_WARP / 2)
            LAUNCH_EACH(d, (avgpool<BACKWARD, 1>), p.count, to, from, p);
        else
            LAUNCH_EACH(d, (avgpool<BACKWARD, CUDA_WARP>), p.count * CUDA_WARP, to, from, p);
    }
}

void CUDA(avgpool_forward)(struct device *d, float *out, const float *inp, int n, int c, int h,
                           int w, int oh, int ow)
{
    if (!cudnn_avgpool_forward(d, out, inp, n, c, h, w, oh, ow))
        run<false>(d, out, inp, (size_t)n * (size_t)c, h, w, oh, ow, 0);
}

void CUDA(avgpool_backward)(struct device *d, float *dinp, const float *dout, int n, int c, int h,
                            int w, int oh, int ow, int add)
{
    if (!cudnn_avgpool_backward(d, dinp, dout, n, c, h, w, oh, ow, add))
        run<true>(d, dinp, dout, (size_t)n * (size_t)c, oh, ow, h, w, add);
}
