/*
 * Max-pool. 2 x 2 at stride 2 over an even image, the classifiers' case, runs in vectors of four
 * windows at memory speed; any other shape goes tap by tap over whole output rows. Ties and NaN as
 * PyTorch decides them: a tap, in order, wins if it is larger or NaN.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu/ranges.h"

typedef float f4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t i4 __attribute__((vector_size(16)));
typedef uint8_t u4 __attribute__((vector_size(4), aligned(1), may_alias));

struct maxpool {
    float *out; /* dinp in backward */
    const float *inp;
    uint8_t *arg;
    const uint8_t *from_arg;
    const struct pool_dims *s;
    int add;
};

static inline int wins(float v, float best)
{
    return v > best || isnan(v);
}

/* One window of 2 x 2: top and bottom point at its left pixels. */
static inline void quad_max(float *out, uint8_t *arg, const float *top, const float *bottom)
{
    float best = top[0];
    uint8_t at = 0;
    at = wins(top[1], best) ? 1 : at;
    best = wins(top[1], best) ? top[1] : best;
    at = wins(bottom[0], best) ? 2 : at;
    best = wins(bottom[0], best) ? bottom[0] : best;
    at = wins(bottom[1], best) ? 3 : at;
    best = wins(bottom[1], best) ? bottom[1] : best;
    *out = best;
    if (arg)
        *arg = at;
}

static inline void take(f4 *best, i4 *at, f4 v, int tap)
{
    const f4 inf = {INFINITY, INFINITY, INFINITY, INFINITY};
    i4 mask = (v > *best) | ~(v <= inf); /* larger, or NaN */
    *best = (f4)(((i4)v & mask) | ((i4)*best & ~mask));
    *at = (mask & tap) | (*at & ~mask);
}

/* The maxima of four windows, given pixel by pixel: upper left, upper right, lower left, lower
 * right. */
static inline void quads_of(float *out, uint8_t *arg, f4 ul, f4 ur, f4 ll, f4 lr)
{
    i4 at = {0};
    take(&ul, &at, ur, 1);
    take(&ul, &at, ll, 2);
    take(&ul, &at, lr, 3);
    *(f4 *)out = ul;
    if (arg)
        *(u4 *)arg = __builtin_convertvector(at, u4);
}

/* Four windows: top0, top1 are the eight upper pixels, bottom0, bottom1 the eight lower ones. */
static inline void quads_max(float *out, uint8_t *arg, const float *top0, const float *top1,
                             const float *bottom0, const float *bottom1)
{
    f4 t0 = *(const f4 *)top0, t1 = *(const f4 *)top1;
    f4 b0 = *(const f4 *)bottom0, b1 = *(const f4 *)bottom1;
    quads_of(out, arg, __builtin_shufflevector(t0, t1, 0, 2, 4, 6),
             __builtin_shufflevector(t0, t1, 1, 3, 5, 7),
             __builtin_shufflevector(b0, b1, 0, 2, 4, 6),
             __builtin_shufflevector(b0, b1, 1, 3, 5, 7));
}

/* Four images of 2 x 2, sixteen pixels in a row. */
static inline void images_max(float *out, uint8_t *arg, const float *p)
{
    f4 a = *(const f4 *)p, b = *(const f4 *)(p + 4);
    f4 c = *(const f4 *)(p + 8), e = *(const f4 *)(p + 12);
    f4 left0 = __builtin_shufflevector(a, b, 0, 2, 4, 6),
       left1 = __builtin_shufflevector(c, e, 0, 2, 4, 6);
    f4 right0 = __builtin_shufflevector(a, b, 1, 3, 5, 7),
       right1 = __builtin_shufflevector(c, e, 1, 3, 5, 7);
    quads_of(out, arg, __builtin_shufflevector(left0, left1, 0, 2, 4, 6),
             __builtin_shufflevector(right0, right1, 0, 2, 4, 6),
             __builtin_shufflevector(left0, left1, 1, 3, 5, 7),
             __builtin_shufflevector(right0, right1, 1, 3, 5, 7));
}

/* Row pairs of the input, each one row of the output. */
static inline void halve_rows(float *out, uint8_t *arg, const float *inp, size_t ow, size_t rows)
{
    size_t w = 2 * ow, row = 0;
    if (ow == 1)
        for (; row + 4 <= rows; row += 4)
            images_max(out + row, arg ? arg + row : NULL, inp + row * 4);
    if (ow == 2) /* two row pairs make four windows */
        for (; row + 2 <= rows; row += 2) {
            const float *p = inp + row * 8;
            quads_max(out + row * 2, arg ? arg + row * 2 : NULL, p, p + 8, p + 4, p + 12);
        }
    for (; row < rows; row++) {
        const float *top = inp + row * 2 * w, *bottom = top + w;
        float *to = out + row * ow;
        uint8_t *at = arg ? arg + row * ow : NULL;
        size_t x = 0;
        for (; x + 4 <= ow; x += 4)
            quads_max(to + x, at ? at + x : NULL, top + 2 * x, top + 2 * x + 4, bottom + 2 * x,
                      bottom + 2 * x + 4);
        for (; x < ow; x++)
            quad_max(to + x, at ? at + x : NULL, top + 2 * x, bottom + 2 * x);
    }
}

static void halve_range(const void *arg, size_t from, size_t to)
{
    const struct maxpool *p = arg;
    size_t ow = (size_t)p->s->ow;
    if (p->arg)
        halve_rows(p->out + from * ow, p->arg + from * ow, p->inp + from * 4 * ow, ow, to - from);
    else
        halve_rows(p->out + from * ow, NULL, p->inp + from * 4 * ow, ow, to - from);
}

static inline void store(float *to, f4 v, int add)
{
    if (add)
        v += *(const f4 *)to;
    *(f4 *)to = v;
}

/* quads_max backwards: each gradient to the pixel that had won, zeros to the others. */
static inline void quads_scatter(float *top0, float *top1, float *bottom0, float *bottom1,
                                 const float *dout, const uint8_t *arg, int add)
{
    i4 g = (i4) * (const f4 *)dout;
    i4 at = __builtin_convertvector(*(const u4 *)arg, i4);
    f4 ul = (f4)(g & (at == 0)), ur = (f4)(g & (at == 1));
    f4 ll = (f4)(g & (at == 2)), lr = (f4)(g & (at == 3));
    store(top0, __builtin_shufflevector(ul, ur, 0, 4, 1, 5), add);
    store(top1, __builtin_shufflevector(ul, ur, 2, 6, 3, 7), add);
    store(bottom0, __builtin_shufflevector(ll, lr, 0, 4, 1, 5), add);
    store(bottom1, __builtin_shufflevector(ll, lr, 2, 6, 3, 7), add);
}

/* One image of 2 x 2. */
static inline void image_scatter(float *image, float dout, uint8_t arg, int add)
{
    const i4 pixel = {0, 1, 2, 3};
    f4 g = {dout, dout, dout, dout};
    store(image, (f4)((i4)g & (pixel == arg)), add);
}

static inline void quad_scatter(float *top, float *bottom, float g, uint8_t at, int add)
{
    float *to[4] = {top, top + 1, bottom, bottom + 1};
    for (int k = 0; k < 4; k++) {
        float part = k == at ? g : 0;
        *to[k] = add ? *to[k] + part : part;
    }
}

static inline void double_rows(float *dinp, const float *dout, const uint8_t *arg, size_t ow,
                               size_t rows, int add)
{
    size_t w = 2 * ow, row = 0;
    if (ow == 1)
        for (; row < rows; row++)
            image_scatter(dinp + row * 4, dout[row], arg[row], add);
    if (ow == 2)
        for (; row + 2 <= rows; row += 2) {
            float *p = dinp + row * 8;
            quads_scatter(p, p + 8, p + 4, p + 12, dout + row * 2, arg + row * 2, add);
        }
    for (; row < rows; row++) {
        float *top = dinp + row * 2 * w, *bottom = top + w;
        const float *g = dout + row * ow;
        const uint8_t *at = arg + row * ow;
        size_t x = 0;
        for (; x + 4 <= ow; x += 4)
            quads_scatter(top + 2 * x, top + 2 * x + 4, bottom + 2 * x, bottom + 2 * x + 4, g + x,
                          at + x, add);
        for (; x < ow; x++)
            quad_scatter(top + 2 * x, bottom + 2 * x, g[x], at[x], add);
    }
}

static void double_range(const void *arg, size_t from, size_t to)
{
    const struct maxpool *p = arg;
    size_t ow = (size_t)p->s->ow;
    float *dinp = p->out + from * 4 * ow;
    if (p->add)
        double_rows(dinp, p->inp + from * ow, p->from_arg + from * ow, ow, to - from, 1);
    else
        double_rows(dinp, p->inp + from * ow, p->from_arg + from * ow, ow, to - from, 0);
}

/* The general case. One tap over a part of an output row; `stride` is a constant where it is
 * inlined. */
static inline void tap_row(float *best, uint8_t *arg, const float *v, size_t n, size_t stride,
                           int tap)
{
    if (!arg) {
        for (size_t x = 0; x < n; x++)
            best[x] = wins(v[x * stride], best[x]) ? v[x * stride] : best[x];
        return;
    }
    for (size_t x = 0; x < n; x++) {
        int win = wins(v[x * stride], best[x]);
        arg[x] = win ? (uint8_t)tap : arg[x];
        best[x] = win ? v[x * stride] : best[x];
    }
}

/* The output columns whose tap kx lies inside the image: [from, to). */
static inline void tap_columns(const struct pool_dims *s, int kx, int *from, int *to)
{
    int left = s->pw - kx, right = s->w - 1 - kx + s->pw;
    *from = left > 0 ? (left + s->sw - 1) / s->sw : 0;
    *to = right < 0 ? 0 : right / s->sw + 1;
    if (*to > s->ow)
        *to = s->ow;
}

/* Where the first tap inside the image is, for each output of row y: what wins if all are minus
 * infinity. */
static void first_taps(uint8_t *arg, const struct pool_dims *s, int y)
{
    int y0 = s->ph - y * s->sh, ky = y0 > 0 ? y0 : 0;
    for (int x = 0; x < s->ow; x++) {
        int x0 = s->pw - x * s->sw, kx = x0 > 0 ? x0 : 0;
        int inside = ky < s->kh && ky - y0 < s->h && kx < s->kw && kx - x0 < s->w;
        arg[x] = (uint8_t)(inside ? ky * s->kw + kx : 0);
    }
}

static void pool_row(const struct pool_dims *s, float *out, uint8_t *arg, const float *image, int y)
{
    for (int x = 0; x < s->ow; x++)
        out[x] = -INFINITY;
    if (arg)
        first_taps(arg, s, y);
    for (int ky = 0; ky < s->kh; ky++) {
        int iy = y * s->sh - s->ph + ky;
        if (iy < 0 || iy >= s->h)
            continue;
        for (int kx = 0; kx < s->kw; kx++) {
            int from, to;
            tap_columns(s, kx, &from, &to);
            if (from >= to)
                continue;
            size_t n = (size_t)(to - from), stride = (size_t)s->sw;
            const float *v = image + (size_t)iy * s->w + (size_t)from * stride + kx - s->pw;
            uint8_t *at = arg ? arg + from : NULL;
            if (stride == 1)
                tap_row(out + from, at, v, n, 1, ky * s->kw + kx);
            else
                tap_row(out + from, at, v, n, stride, ky * s->kw + kx);
        }
    }
}

static void forward_range(const void *arg, size_t from, size_t to)
{
    const struct maxpool *p = arg;
    const struct pool_dims *s = p->s;
    for (size_t image = from; image < to; image++) {
        for (int y = 0; y < s->oh; y++) {
            size_t at = (image * s->oh + y) * s->ow;
            pool_row(s, p->out + at, p->arg ? p->arg + at : NULL, p->inp + image * s->h * s->w, y);
        }
    }
}

static void backward_image(const struct pool_dims *s, float *dinp, const float *dout,
                           const uint8_t *arg)
{
    for (int y = 0; y < s->oh; y++) {
        for (int x = 0; x < s->ow; x++, arg++, dout++) {
            int iy = y * s->sh - s->ph + *arg / s->kw, ix = x * s->sw - s->pw + *arg % s->kw;
            if (iy >= 0 && iy < s->h && ix >= 0 && ix < s->w)
                dinp[(size_t)iy * s->w + ix] += *dout;
        }
    }
}

static void backward_range(const void *arg, size_t from, size_t to)
{
    const struct maxpool *p = arg;
    const struct pool_dims *s = p->s;
    size_t in = (size_t)s->h * s->w, out = (size_t)s->oh * s->ow;
    for (size_t image = from; image < to; image++) {
        float *dinp = p->out + image * in;
        if (!p->add)
            memset(dinp, 0, in * sizeof(*dinp));
        backward_image(s, dinp, p->inp + image * out, p->from_arg + image * out);
    }
}

static int halves(const struct pool_dims *s)
{
    return s->kh == 2 && s->kw == 2 && s->sh == 2 && s->sw == 2 && s->ph == 0 && s->pw == 0 &&
           s->h == 2 * s->oh && s->w == 2 * s->ow;
}

static void run(struct device *d, const struct maxpool *p, range_fn *by_rows, range_fn *by_images)
{
    const struct pool_dims *s = p->s;
    size_t images = (size_t)s->n * s->c;
    if (halves(s))
        ranges_run(d, images * s->oh, 4 + RANGE_BLOCK / (4 * (size_t)s->ow) / 4 * 4, by_rows, p);
    else
        ranges_run(d, images, 1 + RANGE_BLOCK / ((size_t)s->h * s->w), by_images, p);
}

void CPU(maxpool_forward)(struct device *d, float *out, uint8_t *arg, const float *inp,
                          const struct pool_dims *s)
{
    struct maxpool p = {.out = out, .inp = inp, .arg = arg, .s = s};
    run(d, &p, halve_range, forward_range);
}

void CPU(maxpool_backward)(struct device *d, float *dinp, const float *dout, const uint8_t *arg,
                           const struct pool_dims *s, int add)
{
    struct maxpool p = {.out = dinp, .inp = dout, .from_arg = arg, .s = s, .add = add};
    run(d, &p, double_range, backward_range);
}
