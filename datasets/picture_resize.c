/* Pictures brought to a model's size, as Pillow and as darknet do it. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "datasets/picture.h"

/* Of one axis: which input pixels make each output pixel, with which weights, as whole numbers
 * of 2^-22: Pillow's arithmetic, whose rounding this follows. */
enum { WEIGHT_BITS = 22 };

struct axis {
    int out, taps;
    int *first, *count; /* out of them */
    int32_t *weight;    /* (out, taps) */
};

static void axis_close(struct axis *a)
{
    free(a->first);
    free(a->count);
    free(a->weight);
    *a = (struct axis){0};
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* Weights of output pixel i, whose centre lies at `centre` of the input; they add up to 1. */
static void axis_weights(struct axis *a, int i, int in, double centre, double scale)
{
    int first = (int)(centre - scale + 0.5), last = (int)(centre + scale + 0.5);
    if (first < 0)
        first = 0;
    if (last > in)
        last = in;
    double sum = 0;
    for (int x = first; x < last; x++)
        sum += triangle((x - centre + 0.5) / scale);
    int32_t *w = a->weight + (size_t)i * (size_t)a->taps;
    for (int x = first; x < last; x++)
        w[x - first] =
            (int32_t)(triangle((x - centre + 0.5) / scale) / sum * (1 << WEIGHT_BITS) + 0.5);
    a->first[i] = first;
    a->count[i] = last - first;
}

static int axis_open(struct axis *a, int in, int out)
{
    double ratio = (double)in / out, scale = ratio > 1 ? ratio : 1;
    *a = (struct axis){.out = out, .taps = 2 * (int)ceil(scale) + 1};
    a->first = calloc((size_t)out, sizeof(*a->first));
    a->count = calloc((size_t)out, sizeof(*a->count));
    a->weight = calloc((size_t)out * (size_t)a->taps, sizeof(*a->weight));
    if (!a->first || !a->count || !a->weight) {
        axis_close(a);
        return err_set(ENOMEM, "no memory to resize a picture");
    }
    for (int i = 0; i < out; i++)
        axis_weights(a, i, in, (i + 0.5) * ratio, scale);
    return 0;
}

/* Output pixel i, of values that lie `stride` bytes apart. */
static uint8_t axis_sample(const struct axis *a, int i, const uint8_t *in, size_t stride)
{
    const int32_t *w = a->weight + (size_t)i * (size_t)a->taps;
    int64_t sum = 1 << (WEIGHT_BITS - 1);
    in += (size_t)a->first[i] * stride;
    for (int k = 0; k < a->count[i]; k++)
        sum += (int64_t)w[k] * in[(size_t)k * stride];
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

static void stretch(const struct picture *p, const struct axis *ax, const struct axis *ay,
                    uint8_t *narrow, float *planes)
{
    size_t w = (size_t)ax->out, row = w * 3;
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < ax->out; x++)
            for (size_t c = 0; c < 3; c++)
                narrow[(size_t)y * row + 3 * (size_t)x + c] =
                    axis_sample(ax, x, p->rgb + (size_t)y * (size_t)p->w * 3 + c, 3);
    for (size_t c = 0; c < 3; c++)
        for (int y = 0; y < ay->out; y++)
            for (size_t x = 0; x < w; x++)
                *planes++ = (float)axis_sample(ay, y, narrow + 3 * x + c, row) / 255;
}

int picture_stretch(const struct picture *p, float *planes, int w, int h)
{
    struct axis ax = {0}, ay = {0};
    int ret = axis_open(&ax, p->w, w);
    if (ret == 0)
        ret = axis_open(&ay, p->h, h);
    uint8_t *narrow = ret == 0 ? malloc((size_t)p->h * (size_t)w * 3) : NULL;
    if (narrow)
        stretch(p, &ax, &ay, narrow, planes);
    else if (ret == 0)
        ret = err_set(ENOMEM, "no memory to resize a picture");
    free(narrow);
    axis_close(&ax);
    axis_close(&ay);
    return ret;
}

void picture_letterbox_size(const struct picture *p, int w, int h, int *inner_w, int *inner_h)
{
    if ((float)w / (float)p->w < (float)h / (float)p->h) {
        *inner_w = w;
        *inner_h = (int)((int64_t)p->h * w / p->w);
    } else {
        *inner_h = h;
        *inner_w = (int)((int64_t)p->w * h / p->h);
    }
    if (*inner_w < 1)
        *inner_w = 1;
    if (*inner_h < 1)
        *inner_h = 1;
}

/* Output pixel i of `out` lies between input pixels *at and *at + 1, *part of the way. */
static void between(int i, int in, int out, int *at, float *part)
{
    float x = out > 1 ? (float)i * ((float)(in - 1) / (float)(out - 1)) : 0;
    *at = (int)x;
    if (*at > in - 1)
        *at = in - 1;
    *part = x - (float)*at;
    if (i == out - 1 || in == 1) { /* darknet's last pixel is the last pixel */
        *at = in - 1;
        *part = 0;
    }
}

static void letterbox(const struct picture *p, float *planes, int w, int h, int iw, int ih,
                      float *narrow)
{
    int left = (w - iw) / 2, top = (h - ih) / 2;
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < iw; x++) {
            int at;
            float part;
            between(x, p->w, iw, &at, &part);
            const uint8_t *a = p->rgb + ((size_t)y * (size_t)p->w + (size_t)at) * 3;
            for (int c = 0; c < 3; c++) {
                float v = (float)a[c] / 255;
                if (part > 0)
                    v = (1 - part) * v + part * ((float)a[3 + c] / 255);
                narrow[((size_t)c * (size_t)p->h + (size_t)y) * (size_t)iw + (size_t)x] = v;
            }
        }
    for (size_t i = 0; i < 3 * (size_t)w * (size_t)h; i++)
        planes[i] = 0.5f;
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < ih; y++) {
            int at;
            float part;
            between(y, p->h, ih, &at, &part);
            const float *a = narrow + ((size_t)c * (size_t)p->h + (size_t)at) * (size_t)iw;
            float *to = planes + ((size_t)c * (size_t)h + (size_t)(top + y)) * (size_t)w + left;
            for (int x = 0; x < iw; x++)
                to[x] = part > 0 ? (1 - part) * a[x] + part * a[x + iw] : a[x];
        }
}

int picture_letterbox(const struct picture *p, float *planes, int w, int h)
{
    int iw, ih;
    picture_letterbox_size(p, w, h, &iw, &ih);
    float *narrow = malloc(3 * (size_t)p->h * (size_t)iw * sizeof(*narrow));
    if (!narrow)
        return err_set(ENOMEM, "no memory to resize a picture");
    letterbox(p, planes, w, h, iw, ih, narrow);
    free(narrow);
    return 0;
}
