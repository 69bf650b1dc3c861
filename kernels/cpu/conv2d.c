/*
 * Convolutions as products (gemm.h) whose A is the windows of a padded image, read in place.
 *
 * Forward: C (pixels, k) = windows (pixels, c kh kw) * weight^T. Or C^T = weight * windows^T, with
 * the windows packed, where that is the smaller copy: fewer pixels than channels k, 1 x 1 kernels,
 * few channels in. Then the output leaves in runs of pixels, untransposed.
 *
 * Backward data: the same over dout with mirrored windows. With a stride, the rows and columns of
 * dinp fall into sh * sw phases; each meets its own part of the kernel and is a product without
 * stride.
 *
 * Backward weights: C (c kh kw, k) = windows^T * dout^T, summed over pixels, in chunks where C is
 * small.
 */
#include "kernels/cpu/conv2d.h"

#include "base/err.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/pad.h"
#include "kernels/cpu/winograd.h"

static struct padded forward_pad(const struct conv2d_dims *s)
{
    return CPU(pad_plan)(s->n, s->c, s->h, s->w, s->ph, s->pw, (s->oh - 1) * s->sh + s->kh,
                         (s->ow - 1) * s->sw + s->kw);
}

/* Pixels of n images, `image` apart, each one run of hw. */
static struct axis pixels_of(int n, ptrdiff_t image, int hw)
{
    if (n == 1)
        return axis_line(1);
    return (struct axis){1, hw, image, 0, 1};
}

/* The top left corners of the windows, one an output pixel, and the elements within a window. */
static struct axis window_corners(const struct conv2d_dims *s, const struct padded *p)
{
    if (s->sh == 1 && s->sw == 1 && p->row == s->ow)
        return pixels_of(s->n, p->image, s->oh * s->ow);
    return (struct axis){s->oh, s->ow, p->image, s->sh * p->row, s->sw};
}

static struct axis window_elements(const struct conv2d_dims *s, const struct padded *p)
{
    return (struct axis){s->kh, s->kw, p->plane, p->row, 1};
}

static int pixel_count(const struct conv2d_dims *s)
{
    CHECK((long)s->n * s->oh * s->ow <= INT_MAX);
    return s->n * s->oh * s->ow;
}

static struct gemm forward_plan(const struct conv2d_dims *s, const struct padded *p)
{
    int pixels = pixel_count(s), window = s->c * s->kh * s->kw, hw = s->oh * s->ow;
    struct gemm g = {.k = window, .alpha = 1};
    struct matrix windows = {NULL, window_corners(s, p), window_elements(s, p)};
    struct matrix weights = {NULL, axis_line(window), axis_line(1)};
    int line = p->in_place && s->kh * s->kw == 1 && s->sh == 1 && s->sw == 1;
    int runs = line || (window <= s->k && s->sw == 1 && s->ow % VL == 0);
    g.bias_by_row = pixels < s->k || runs;
    g.local_b = runs && s->k <= GEMM_LOCAL_ROWS;
    if (g.bias_by_row) {
        g.m = s->k;
        g.n = pixels;
        g.a = weights;
        g.b = (struct matrix){NULL, windows.col, windows.row};
        g.c_row = axis_line(hw);
        g.c_col = pixels_of(s->n, (ptrdiff_t)s->k * hw, hw);
    } else {
        g.m = pixels;
        g.n = s->k;
        g.a = windows;
        g.b = (struct matrix){NULL, weights.col, weights.row};
        g.c_row = pixels_of(s->n, (ptrdiff_t)s->k * hw, hw);
        g.c_col = axis_line(hw);
    }
    return g;
}

static void apply_plain(struct device *d, float *out, const float *inp, const float *weight,
                        const float *bias, const struct conv2d_dims *s, enum act act, int add,
                        void *work)
{
    struct padded p = forward_pad(s);
    struct gemm g = forward_plan(s, &p);
    const float *image = CPU(pad_run)(cpu_pool(d), &p, inp, work);
    g.a.data = g.bias_by_row ? weight : image;
    g.b.data = g.bias_by_row ? image : weight;
    g.c = out;
    g.bias = bias;
    g.add = add;
    g.act = act;
    CPU(gemm_run)(cpu_pool(d), &g, (char *)work + CPU(pad_bytes)(&p));
}

void CPU(conv2d_apply)(struct device *d, float *out, const float *inp, const float *weight,
                       const float *bias, const struct conv2d_dims *s, enum act act, int add,
                       void *work)
{
    enum act fused = act == ACT_SIGMOID ? ACT_NONE : act;
    struct winograd w;
    if (CPU(winograd_plan)(&w, s)) {
        struct matrix weights = {weight, axis_line(1), axis_line(s->c * 9)};
        CPU(winograd_apply)(cpu_pool(d), &w, out, inp, &weights, bias, fused, add, work);
    } else {
        apply_plain(d, out, inp, weight, bias, s, fused, add, work);
    }
    if (fused != act)
        CPU(act_forward)(d, out, out, (size_t)pixel_count(s) * (size_t)s->k, act);
}

/*
 * Backward data, one dimension: input coordinate y = stride * t + first, t in 0 .. count - 1, takes
 * kernel elements r = kernel + stride * q, q in 0 .. taps - 1, from output coordinate t + from - q.
 */
struct phase {
    int first, count, kernel, taps, from;
};

static struct phase phase_of(int first, int size, int pad, int kernel, int stride)
{
    struct phase f = {first, (size - first + stride - 1) / stride, (first + pad) % stride, 0,
                      (first + pad) / stride};
    if (f.kernel < kernel)
        f.taps = (kernel - f.kernel + stride - 1) / stride;
    return f;
}

static struct padded backward_pad(const struct conv2d_dims *s)
{
    int top = (s->kh - 1) / s->sh, left = (s->kw - 1) / s->sw;
    return CPU(pad_plan)(s->n, s->k, s->oh, s->ow, top, left, (s->h - 1 + s->ph) / s->sh + top + 1,
                         (s->w - 1 + s->pw) / s->sw + left + 1);
}

static struct gemm backward_data_plan(const struct conv2d_dims *s, const struct padded *p,
                                      const struct phase *y, const struct phase *x)
{
    int area = s->kh * s->kw, taps = y->taps * x->taps;
    CHECK((long)s->n * s->h * s->w <= INT_MAX);
    struct gemm g = {
        .m = s->n * y->count * x->count,
        .n = s->c,
        .k = s->k * taps,
        .alpha = 1,
        .a = {NULL, {y->count, x->count, p->image, p->row, 1}, {1, 1, 0, 0, 0}},
        .b = {NULL, {1, 1, 0, 0, 0}, axis_line(area)},
        .c_row = {y->count, x->count, (ptrdiff_t)s->c * s->h * s->w, (ptrdiff_t)s->sh * s->w,
                  s->sw},
        .c_col = axis_line((ptrdiff_t)s->h * s->w),
    };
    if (taps > 0) {
        g.a.col = (struct axis){y->taps, x->taps, p->plane, -p->row, -1};
        g.b.row = (struct axis){y->taps, x->taps, (ptrdiff_t)s->c * area, (ptrdiff_t)s->sh * s->kw,
                                s->sw};
    }
    return g;
}

static void transposed_plain(struct device *d, float *dinp, const float *dout, const float *weight,
                             const float *bias, const struct conv2d_dims *s, enum act act, int add,
                             void *work)
{
    struct padded p = backward_pad(s);
    const float *image = CPU(pad_run)(cpu_pool(d), &p, dout, work);
    for (int fy = 0; fy < s->sh && fy < s->h; fy++) {
        struct phase y = phase_of(fy, s->h, s->ph, s->kh, s->sh);
        for (int fx = 0; fx < s->sw && fx < s->w; fx++) {
            struct phase x = phase_of(fx, s->w, s->pw, s->kw, s->sw);
            struct gemm g = backward_data_plan(s, &p, &y, &x);
            g.a.data = image + (y.from + p.top) * p.row + x.from + p.left;
            g.b.data = weight + y.kernel * s->kw + x.kernel;
            g.c = dinp + (size_t)fy * (size_t)s->w + fx;
            g.bias = bias;
            g.add = add;
            g.act = act;
            CPU(gemm_run)(cpu_pool(d), &g, (char *)work + CPU(pad_bytes)(&p));
        }
    }
}

void CPU(conv2d_apply_transposed)(struct device *d, float *dinp, const float *dout,
                                  const float *weight, const float *bias,
                                  const struct conv2d_dims *s, enum act act, int add, void *work)
{
    enum act fused = act == ACT_SIGMOID ? ACT_NONE : act;
    struct winograd w;
    if (CPU(winograd_plan_transposed)(&w, s)) {
        struct matrix mirrored = {weight + 8, {3, 3, (ptrdiff_t)s->c * 9, -3, -1}, axis_line(9)};
        CPU(winograd_apply)(cpu_pool(d), &w, dinp, dout, &mirrored, bias, fused, add, work);
    } else {
        transposed_plain(d, dinp, dout, weight, bias, s, fused, add, work);
    }
    if (fused != act)
        CPU(act_forward)
    (d, dinp, dinp, (size_t)s->n * (size_t)s->c * (size_t)s->h * (size_t)s->w, act);
}

/* Chunks of the sum over pixels, where C has too few tiles to keep many threads busy. */
static int weights_chunk(int m, int n, int k)
{
    enum { JOBS = 32, LEAST = 4 * KC };
    int jobs = ((m + 4 * MR - 1) / (4 * MR)) * ((n + NR - 1) / NR);
    if (jobs >= JOBS || k < 2 * LEAST)
        return 0;
    int count = gemm_min((JOBS + jobs - 1) / jobs, k / LEAST);
    return gemm_round_up((k + count - 1) / count, KC);
}

static struct gemm backward_weights_plan(const struct conv2d_dims *s, const struct padded *p)
{
    int pixels = pixel_count(s), window = s->c * s->kh * s->kw, hw = s->oh * s->ow;
    int chunk = weights_chunk(window, s->k, pixels);
    return (struct gemm){
        .m = window,
        .n = s->k,
        .k = pixels,
        .add = 1,
        .a = {NULL, window_elements(s, p), window_corners(s, p)},
        .b = {NULL, pixels_of(s->n, (ptrdiff_t)s->k * hw, hw), axis_line(hw)},
        .c_row = axis_line(1),
        .c_col = axis_line(window),
        .chunk = chunk,
        .local_b = chunk > 0 && window <= 64,
    };
}

static void weights_run(struct device *d, float *dweight, const float *dout, const float *inp,
                        const struct conv2d_dims *s, float scale, void *work)
{
    struct winograd w;
    if (CPU(winograd_plan)(&w, s)) {
        CPU(winograd_weights)(cpu_pool(d), &w, dweight, dout, inp, scale, work);
        return;
    }
    struct padded p = forward_pad(s);
    struct gemm g = backward_weights_plan(s, &p);
    g.a.data = CPU(pad_run)(cpu_pool(d), &p, inp, work);
    g.b.data = dout;
    g.c = dweight;
    g.alpha = scale;
    CPU(gemm_run)(cpu_pool(d), &g, (char *)work + CPU(pad_bytes)(&p));
}

struct bias_sum {
    float *dbias;
    const float *dout;
    int n, c, hw;
    float scale;
};

/* One channel a job. Each image's plane is summed alone: no sum is longer than it must be. */
static void sum_bias(void *arg, int job, int worker)
{
    const struct bias_sum *b = arg;
    float total = 0;
    for (int i = 0; i < b->n; i++) {
        const float *plane = b->dout + ((size_t)i * (size_t)b->c + (size_t)job) * (size_t)b->hw;
        vf sum = vf_all(0);
        int j = 0;
        for (; j + VL <= b->hw; j += VL)
            sum += vf_load(plane + j);
        float lane[VL], rest = 0;
        vf_store(lane, sum);
        for (int u = 0; u < VL; u++)
            rest += lane[u];
        for (; j < b->hw; j++)
            rest += plane[j];
        total += rest;
    }
    b->dbias[job] += b->scale * total;
}

void CPU(conv2d_bias)(struct device *d, float *dbias, const float *dout, int n, int c, int hw,
                      float scale)
{
    struct bias_sum b = {dbias, dout, n, c, hw, scale};
    pool_run(cpu_pool(d), c, sum_bias, &b);
}

void CPU(conv2d_forward)(struct device *d, float *out, const float *inp, const float *weight,
                         const float *bias, const struct conv2d_dims *s, enum act act, void *work)
{
    CPU(conv2d_apply)(d, out, inp, weight, bias, s, act, 0, work);
}

void CPU(conv2d_backward_data)(struct device *d, float *dinp, const float *dout,
                               const float *weight, const struct conv2d_dims *s, int add,
                               void *work)
{
    CPU(conv2d_apply_transposed)(d, dinp, dout, weight, NULL, s, ACT_NONE, add, work);
}

void CPU(conv2d_backward_weights)(struct device *d, float *dweight, float *dbias, const float *dout,
                                  const float *inp, const struct conv2d_dims *s, float scale,
                                  void *work)
{
    weights_run(d, dweight, dout, inp, s, scale, work);
    if (dbias)
        CPU(conv2d_bias)(d, dbias, dout, s->n, s->k, s->oh * s->ow, scale);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t transposed_bytes(const struct conv2d_dims *s)
{
    struct winograd w;
    if (CPU(winograd_plan_transposed)(&w, s))
        return CPU(winograd_bytes)(&w);
    struct padded pad = backward_pad(s);
    size_t bytes = 0;
    for (int fy = 0; fy < s->sh && fy < s->h; fy++) {
        struct phase y = phase_of(fy, s->h, s->ph, s->kh, s->sh);
        for (int fx = 0; fx < s->sw && fx < s->w; fx++) {
            struct phase x = phase_of(fx, s->w, s->pw, s->kw, s->sw);
            struct gemm g = backward_data_plan(s, &pad, &y, &x);
            bytes = larger(bytes, CPU(gemm_bytes)(&g));
        }
    }
    return CPU(pad_bytes)(&pad) + bytes;
}

size_t CPU(conv2d_work)(struct device *d, const struct conv2d_dims *s, int backward)
{
    struct winograd w;
    size_t forward, weights;
    if (CPU(winograd_plan)(&w, s)) {
        forward = CPU(winograd_bytes)(&w);
        weights = CPU(winograd_weights_bytes)(&w);
    } else {
        struct padded pad = forward_pad(s);
        struct gemm g = forward_plan(s, &pad);
        forward = CPU(pad_bytes)(&pad) + CPU(gemm_bytes)(&g);
        g = backward_weights_plan(s, &pad);
        weights = CPU(pad_bytes)(&pad) + CPU(gemm_bytes)(&g);
    }
    return backward ? larger(larger(forward, weights), transposed_bytes(s)) : forward;
}
