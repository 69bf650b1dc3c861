/* Adaptive average pool, a block of images a job. VGG's case on small pictures is one pixel that
 * becomes 49. */
#include <string.h>

#include "kernels/cpu/ranges.h"

struct avgpool {
    float *out;
    const float *inp;
    int h, w, oh, ow;
    int add;
};

/* Bins are short: eight sums side by side, folded in a tree. */
static inline float row_sum(const float *x, size_t n)
{
    float sum[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t k = 0; k < 8; k++)
            sum[k] += x[i + k];
    for (size_t k = 0; i < n; i++, k++)
        sum[k] += x[i];
    for (size_t k = 0; k < 4; k++)
        sum[k] += sum[k + 4];
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

static inline int bin_start(int i, int in, int out)
{
    return (int)((int64_t)i * in / out);
}

static inline int bin_end(int i, int in, int out)
{
    return (int)((((int64_t)i + 1) * in + out - 1) / out);
}

static void forward_image(const struct avgpool *s, float *out, const float *inp)
{
    for (int y = 0; y < s->oh; y++) {
        int y0 = bin_start(y, s->h, s->oh), y1 = bin_end(y, s->h, s->oh);
        for (int x = 0; x < s->ow; x++) {
            int x0 = bin_start(x, s->w, s->ow), x1 = bin_end(x, s->w, s->ow);
            double sum = 0;
            for (int iy = y0; iy < y1; iy++)
                sum += row_sum(inp + (size_t)iy * s->w + x0, (size_t)(x1 - x0));
            *out++ = (float)(sum / ((y1 - y0) * (x1 - x0)));
        }
    }
}

static void forward_range(const void *arg, size_t from, size_t to)
{
    const struct avgpool *s = arg;
    size_t in = (size_t)s->h * s->w, out = (size_t)s->oh * s->ow;
    for (size_t image = from; image < to; image++) {
        if (in > 1) {
            forward_image(s, s->out + image * out, s->inp + image * in);
            continue;
        }
        float value = s->inp[image], *to_fill = s->out + image * out;
        for (size_t i = 0; i < out; i++)
            to_fill[i] = value;
    }
}

/* Each output's gradient over its bin; bins in order, so the sums' order is fixed. */
static void backward_image(const struct avgpool *s, float *dinp, const float *dout)
{
    for (int y = 0; y < s->oh; y++) {
        int y0 = bin_start(y, s->h, s->oh), y1 = bin_end(y, s->h, s->oh);
        for (int x = 0; x < s->ow; x++) {
            int x0 = bin_start(x, s->w, s->ow), x1 = bin_end(x, s->w, s->ow);
            float g = *dout++ / (float)((y1 - y0) * (x1 - x0));
            for (int iy = y0; iy < y1; iy++)
                for (int ix = x0; ix < x1; ix++)
                    dinp[(size_t)iy * s->w + ix] += g;
        }
    }
}

static void backward_range(const void *arg, size_t from, size_t to)
{
    const struct avgpool *s = arg;
    size_t in = (size_t)s->h * s->w, out = (size_t)s->oh * s->ow;
    for (size_t image = from; image < to; image++) {
        float *dinp = s->out + image * in;
        const float *dout = s->inp + image * out;
        if (!s->add)
            memset(dinp, 0, in * sizeof(*dinp));
        if (in == 1)
            *dinp += row_sum(dout, out);
        else
            backward_image(s, dinp, dout);
    }
}

static void images_run(struct device *d, const struct avgpool *s, size_t images, range_fn *fn)
{
    size_t in = (size_t)s->h * s->w, out = (size_t)s->oh * s->ow;
    ranges_run(d, images, 1 + RANGE_BLOCK / (in + out + 1), fn, s);
}

void CPU(avgpool_forward)(struct device *d, float *out, const float *inp, int n, int c, int h,
                          int w, int oh, int ow)
{
    struct avgpool s = {out, inp, h, w, oh, ow, 0};
    images_run(d, &s, (size_t)n * c, forward_range);
}

void CPU(avgpool_backward)(struct device *d, float *dinp, const float *dout, int n, int c, int h,
                           int w, int oh, int ow, int add)
{
    struct avgpool s = {dinp, dout, h, w, oh, ow, add};
    images_run(d, &s, (size_t)n * c, backward_range);
}
