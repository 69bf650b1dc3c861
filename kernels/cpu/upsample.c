/* Nearest neighbour by an integer factor, a block of input rows a job. Factor 2 is YOLO's. */
#include <string.h>

#include "kernels/cpu/ranges.h"

struct upsample {
    float *out;
    const float *inp;
    size_t w, factor;
    int add;
};

static void widen(float *out, const float *inp, size_t w, size_t factor)
{
    if (factor == 2) {
        for (size_t x = 0; x < w; x++) {
            out[2 * x] = inp[x];
            out[2 * x + 1] = inp[x];
        }
        return;
    }
    for (size_t x = 0; x < w; x++)
        for (size_t k = 0; k < factor; k++)
            *out++ = inp[x];
}

static void forward_range(const void *arg, size_t from, size_t to)
{
    const struct upsample *s = arg;
    size_t ow = s->w * s->factor;
    for (size_t row = from; row < to; row++) {
        float *first = s->out + row * s->factor * ow;
        widen(first, s->inp + row * s->w, s->w, s->factor);
        for (size_t y = 1; y < s->factor; y++)
            memcpy(first + y * ow, first, ow * sizeof(*first));
    }
}

static void narrow_two(float *restrict dinp, const float *restrict dout, size_t w, int add)
{
    const float *restrict below = dout + 2 * w;
    for (size_t x = 0; x < w; x++) {
        float sum = (dout[2 * x] + dout[2 * x + 1]) + (below[2 * x] + below[2 * x + 1]);
        dinp[x] = add ? dinp[x] + sum : sum;
    }
}

static void narrow(float *dinp, const float *dout, size_t w, size_t factor, int add)
{
    for (size_t x = 0; x < w; x++) {
        float sum = 0;
        for (size_t y = 0; y < factor; y++)
            for (size_t k = 0; k < factor; k++)
                sum += dout[y * w * factor + x * factor + k];
        dinp[x] = add ? dinp[x] + sum : sum;
    }
}

static void backward_range(const void *arg, size_t from, size_t to)
{
    const struct upsample *s = arg;
    for (size_t row = from; row < to; row++) {
        float *dinp = s->out + row * s->w;
        const float *dout = s->inp + row * s->w * s->factor * s->factor;
        if (s->factor == 2)
            narrow_two(dinp, dout, s->w, s->add);
        else
            narrow(dinp, dout, s->w, s->factor, s->add);
    }
}

static void rows_run(struct device *d, const struct upsample *s, size_t rows, range_fn *fn)
{
    ranges_run(d, rows, 1 + RANGE_BLOCK / (s->w * s->factor * s->factor + 1), fn, s);
}

void CPU(upsample_forward)(struct device *d, float *out, const float *inp, int n, int c, int h,
                           int w, int factor)
{
    struct upsample s = {out, inp, (size_t)w, (size_t)factor, 0};
    rows_run(d, &s, (size_t)n * c * h, forward_range);
}

void CPU(upsample_backward)(struct device *d, float *dinp, const float *dout, int n, int c, int h,
                            int w, int factor, int add)
{
    struct upsample s = {dinp, dout, (size_t)w, (size_t)factor, add};
    rows_run(d, &s, (size_t)n * c * h, backward_range);
}
