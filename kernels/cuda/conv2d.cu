/*
 * Convolutions as products whose B is the windows of an image, read in place (gemm_windows.h).
 *
 * Forward: C (k, pixels) = weight (k, c kh kw) * windows. Backward data: C (c, pixels) = weight
 * turned (c, k kh kw) * mirrored windows of dout; with a stride, the rows and columns of dinp fall
 * into sh * sw phases, each of which meets its own part of the kernel and is a product without
 * stride. Backward weights: C (k, c kh kw) = dout (k, pixels) * windows, summed over all pixels of
 * the batch.
 */
#include "kernels/cuda/act.h"
#include "kernels/cuda/conv2d.h"
#include "kernels/cuda/cudnn_paths.h"
#include "kernels/cuda/gemm_tile.h"
#include "kernels/cuda/gemm_windows.h"

static int pixels_of(const struct conv2d_dims *s)
{
    return s->n * s->oh * s->ow;
}

static struct windows windows_of(const float *inp, const struct conv2d_dims *s)
{
    struct windows v = {};
    v.data = inp;
    v.h = s->h;
    v.w = s->w;
    v.image = (size_t)s->c * (size_t)(s->h * s->w);
    v.pixels = pixels_of(s);
    v.elements = s->c * s->kh * s->kw;
    v.grid = extent_of(s->oh * s->ow);
    v.grid_w = extent_of(s->ow);
    v.step_y = s->sh;
    v.step_x = s->sw;
    v.from_y = -s->ph;
    v.from_x = -s->pw;
    v.area = extent_of(s->kh * s->kw);
    v.columns = extent_of(s->kw);
    return v;
}

static struct columns_operand<1> weight_rows(const float *weight, const struct conv2d_dims *s) {
    struct columns_operand<1> w = {
    };
    w.data = weight;
    w.outer = s->k;
    w.depth = s->c * s->kh * s->kw;
    w.stride = (size_t)w.depth;
    w.vec = gemm_aligned(weight, w.stride);
    return w;
}

/* A window of one pixel and images that float4 reads fit: B is the image itself. */
static int
is_matrix(const float *inp, const struct conv2d_dims *s)
{
    return s->kh == 1 && s->kw == 1 && s->sh == 1 && s->sw == 1 && s->ph == 0 && s->pw == 0 &&
           gemm_aligned(inp, (size_t)(s->h * s->w));
}

static struct rows_operand image_rows(const float *inp, const struct conv2d_dims *s)
{
    struct rows_operand x = {};
    x.data = inp;
    x.outer = pixels_of(s);
    x.depth = s->c;
    x.vec = 1;
    x.stride = (size_t)(s->h * s->w);
    x.image = (size_t)s->c * x.stride;
    x.per = extent_of(s->h * s->w);
    return x;
}

/* What cuDNN leaves to do: images (n, rows, pixels), a row a channel. */
static __global__ void add_bias(float *out, size_t count, const float *bias, struct extent pixels,
                                struct extent rows, enum act act)
{
    CUDA_EACH(e, count) {
        unsigned row = divide((unsigned)e, pixels.by);
        unsigned channel = row - divide(row, rows.by) * (unsigned)rows.n;
        out[e] = cuda_act(out[e] + (bias ? bias[channel] : 0), act);
    }
}

static void finish(struct device *d, float *out, const float *bias, int n, int rows, int pixels,
                   enum act act)
{
    size_t count = (size_t)n * (size_t)rows * (size_t)pixels;
    if (bias || act != ACT_NONE)
        LAUNCH_EACH(d, add_bias, count, out, count, bias, extent_of(pixels), extent_of(rows), act);
}

void conv_forward(struct device *d, float *out, const float *inp, const float *weight,
                  const float *bias, const struct conv2d_dims *s, int add, enum act act,
                  enum gemm_gradient gradient, void *work)
{
    if (cudnn_conv_forward(d, out, inp, weight, s, add, work)) {
        finish(d, out, bias, s->n, s->k, s->oh * s->ow, act);
        return;
    }
    struct gemm_out to = gemm_out_images(out, s->n, s->k, s->oh, s->ow);
    to.row_bias = bias;
    to.add = add;
    to.gradient = gradient;
    act = gemm_fuse(&to, act);
    struct columns_operand<1> w = weight_rows(weight, s);
    if (is_matrix(inp, s)) {
        gemm_columns_rows(d, w, image_rows(inp, s), &to, w.depth, work);
    } else {
        struct windows_operand x = {windows_of(inp, s)};
        gemm_run(d, w, x, &to, w.depth, work);
    }
    if (act != ACT_NONE)
        CUDA(act_forward)(d, out, out, (size_t)to.m * (size_t)to.n, act);
}

/* The most that `bytes` says of up to s->n samples: a split may pay with fewer, and wants more. */
static size_t most_of(struct device *d, const struct conv2d_dims *s,
                      size_t (*bytes)(struct device *, const struct conv2d_dims *))
{
    struct conv2d_dims some = *s;
    size_t most = 0;
    for (some.n = 1; some.n <= s->n; some.n++)
        most = gemm_max(most, bytes(d, &some));
    return most;
}

static size_t forward_bytes(struct device *d, const struct conv2d_dims *s)
{
    return gemm_plan_of(d, s->k, pixels_of(s), s->c * s->kh * s->kw).bytes;
}

size_t conv_forward_work(struct device *d, const struct conv2d_dims *s)
{
    return gemm_max(most_of(d, s, forward_bytes), cudnn_conv_forward_work(d, s));
}

/* Every step-th row of an axis of the input, from `first` on, and what of the kernel reaches it. */
struct phase {
    int first, size; /* rows of the input */
    int tap, taps;   /* the kernel's rows: tap, tap + step, ... */
    int from;        /* the output's row that meets row `first` through tap */
};

static struct phase phase_of(int first, int size, int kernel, int step, int pad)
{
    struct phase p = {first, (size - first + step - 1) / step, (first + pad) % step, 0, 0};
    p.taps = p.tap < kernel ? (kernel - p.tap + step - 1) / step : 0;
    p.from = (first + pad - p.tap) / step;
    return p;
}

static struct windows phase_windows(const float *dout, const struct conv2d_dims *s, struct phase y,
                                    struct phase x)
{
    struct windows v = {};
    int taps = y.taps * x.taps;
    v.data = dout;
    v.h = s->oh;
    v.w = s->ow;
    v.image = (size_t)s->k * (size_t)(s->oh * s->ow);
    v.pixels = s->n * y.size * x.size;
    v.elements = s->k * taps;
    v.grid = extent_of(y.size * x.size);
    v.grid_w = extent_of(x.size);
    v.step_y = 1;
    v.step_x = 1;
    v.from_y = y.from;
    v.from_x = x.from;
    v.area = extent_of(taps ? taps : 1);
    v.columns = extent_of(x.taps ? x.taps : 1);
    v.mirror = 1;
    return v;
}

static struct columns_operand<0> phase_weight(const float *weight, const struct conv2d_dims *s,
                                              struct phase y, struct phase x) {
    struct columns_operand<0> w = {
    };
    int taps = y.taps * x.taps;
    w.data = weight + y.tap * s->kw + x.tap;
    w.outer = s->c;
    w.depth = s->k * taps;
    w.stride = (size_t)(s->kh * s->kw);
    w.image = (size_t)s->c * w.stride;
    w.rows = y.taps;
    w.y = s->sh * s->kw;
    w.x = s->sw;
    w.area = extent_of(taps ? taps : 1);
    w.columns = extent_of(x.taps ? x.taps : 1);
    return w;
}

static struct gemm_out
phase_out(float *to, const struct conv2d_dims *s, struct phase y, struct phase x)
{
    struct gemm_out out = gemm_out_images(to, s->n, s->c, s->h, s->w);
    if (s->sh == 1 && s->sw == 1)
        return out;
    out.c += y.first * s->w + x.first;
    out.n = s->n * y.size * x.size;
    out.y = (size_t)s->sh * (size_t)s->w;
    out.x = (size_t)s->sw;
    out.pixels = extent_of(y.size * x.size);
    out.width = extent_of(x.size);
    out.vec = 0;
    return out;
}

void conv_backward_data(struct device *d, float *to, const float *dout, const float *weight,
                        const float *bias, const struct conv2d_dims *s, int add, enum act act,
                        enum gemm_gradient gradient, void *work)
{
    if (cudnn_conv_backward_data(d, to, dout, weight, s, add, work)) {
        finish(d, to, bias, s->n, s->c, s->h * s->w, act);
        return;
    }
    enum act left = act;
    for (int i = 0; i < s->sh && i < s->h; i++)
        for (int j = 0; j < s->sw && j < s->w; j++) {
            struct phase y = phase_of(i, s->h, s->kh, s->sh, s->ph);
            struct phase x = phase_of(j, s->w, s->kw, s->sw, s->pw);
            struct gemm_out out = phase_out(to, s, y, x);
            out.add = add;
            out.gradient = gradient;
            out.row_bias = bias;
            left = gemm_fuse(&out, act);
            struct windows_operand v = {phase_windows(dout, s, y, x)};
            gemm_run(d, phase_weight(weight, s, y, x), v, &out, s->k * y.taps * x.taps, work);
        }
    if (left != ACT_NONE)
        CUDA(act_forward)(d, to, to, (size_t)s->n * (size_t)s->c * (size_t)(s->h * s->w), left);
}

static size_t backward_data_bytes(struct device *d, const struct conv2d_dims *s)
{
    size_t bytes = 0;
    for (int i = 0; i < s->sh && i < s->h; i++)
        for (int j = 0; j < s->sw && j < s->w; j++) {
            struct phase y = phase_of(i, s->h, s->kh, s->sh, s->ph);
            struct phase x = phase_of(j, s->w, s->kw, s->sw, s->pw);
            bytes = gemm_max(
                bytes, gemm_plan_of(d, s->c, s->n * y.size * x.size, s->k * y.taps * x.taps).bytes);
        }
    return bytes;
}

size_t conv_backward_data_work(struct device *d, const struct conv2d_dims *s)
{
    return gemm_max(most_of(d, s, backward_data_bytes), cudnn_conv_backward_data_work(d, s));
}

void conv_backward_weights(struct device *d, float *dweight, const float *dout, const float *inp,
                           const struct conv2d_dims *s, float scale, enum gemm_gradient gradient,
                           void *work)
{
    if (cudnn_conv_backward_weights(d, dweight, dout, inp, s, scale, work))
        return;
    int area = s->oh * s->ow, window = s->c * s->kh * s->kw;
    struct columns_operand<0> a = {
    };
    a.data = dout;
    a.outer = s->k;
    a.depth = pixels_of(s);
    a.stride = (size_t)area;
    a.image = (size_t)s->k * a.stride;
    a.rows = 1;
    a.x = 1;
    a.area = a.columns = extent_of(area);
    a.vec = gemm_aligned(dout, a.stride);
    struct windows_by_pixel_operand b = {windows_of(inp, s)};
    struct gemm_out out = gemm_out_matrix(dweight, s->k, window, (size_t)window);
    out.alpha = scale;
    out.add = 1;
    out.gradient = gradient;
    gemm_run(d, a, b, &out, a.depth, work);
}

static size_t backward_weights_bytes(struct device *d, const struct conv2d_dims *s)
{
    return gemm_plan_of(d, s->k, s->c * s->kh * s->kw, pixels_of(s)).bytes;
}

size_t conv_backward_weights_work(struct device *d, const struct conv2d_dims *s)
{
    return gemm_max(most_of(d, s, backward_weights_bytes), cudnn_conv_backward_weights_work(d, s));
}

void CUDA(conv2d_forward)(struct device *d, float *out, const float *inp, const float *weight,
                          const float *bias, const struct conv2d_dims *s, enum act act, void *work)
{
    conv_forward(d, out, inp, weight, bias, s, 0, act, GRADIENT_NONE, work);
}

void CUDA(conv2d_backward_data)(struct device *d, float *dinp, const float *dout,
                                const float *weight, const struct conv2d_dims *s, int add,
                                void *work)
{
    conv_backward_data(d, dinp, dout, weight, NULL, s, add, ACT_NONE, GRADIENT_B, work);
}

void CUDA(conv2d_backward_weights)(struct device *d, float *dweight, float *dbias,
                                   const float *dout, const float *inp, const struct conv2d_dims *s,
                                   float scale, void *work)
{
    if (dbias)
        gemm_add_row_sums(d, dbias, dout, s->n, s->k, s->oh * s->ow, scale);
    conv_backward_weights(d, dweight, dout, inp, s, scale, GRADIENT_A, work);
}

size_t CUDA(conv2d_work)(struct device *d, const struct conv2d_dims *s, int backward)
{
    size_t bytes = conv_forward_work(d, s);
    if (!backward)
        return bytes;
    return gemm_max(bytes,
                    gemm_max(conv_backward_data_work(d, s), conv_backward_weights_work(d, s)));
}
