/*
 * A YOLO head's numbers as boxes in pixels (Redmon, Farhadi, "YOLOv3", 2018, section 2.1). A grid
 * row of one anchor a job: each of its values is worked on along the row, in vectors, then put into
 * its column of the boxes.
 */
#include "kernels/cpu/act.h"
#include "kernels/cpu/exp.h"
#include "kernels/cpu/ranges.h"

enum { CELLS = 64 }; /* worked on at once, a few vectors on the stack */

struct decode {
    float *out;
    const float *inp;
    const struct yolo_dims *s;
    size_t out_stride;
};

/* Value c of n cells from column x0 on. Boxes end at e^88 of an anchor, where floats do. */
static void decode_cells(float *v, const float *t, size_t n, int c, int x0, int y,
                         const float anchor[2], const struct yolo_dims *s)
{
    if (c == 2 || c == 3) {
        float size = anchor[c - 2];
        for (size_t i = 0; i < n; i++)
            v[i] = exp_poly(t[i]) * size;
        return;
    }
    CPU(act_row)(v, t, n, ACT_SIGMOID);
    if (c == 0)
        for (size_t i = 0; i < n; i++)
            v[i] = (v[i] + (float)(x0 + (int)i)) * s->stride_x;
    if (c == 1)
        for (size_t i = 0; i < n; i++)
            v[i] = (v[i] + (float)y) * s->stride_y;
}

/* Grid row y of head image `image` (n, anchor): its values lie a plane apart. */
static void decode_row(const struct decode *d, size_t image, size_t y)
{
    const struct yolo_dims *s = d->s;
    size_t row = 5 + (size_t)s->classes, w = (size_t)s->w, plane = (size_t)s->h * w;
    size_t n = image / (size_t)s->anchors, a = image % (size_t)s->anchors;
    const float *t = d->inp + image * row * plane + y * w;
    float *out = d->out + n * d->out_stride + (a * plane + y * w) * row, v[CELLS];
    for (size_t x0 = 0; x0 < w; x0 += CELLS) {
        size_t cells = w - x0 < CELLS ? w - x0 : CELLS;
        for (size_t c = 0; c < row; c++) {
            decode_cells(v, t + c * plane + x0, cells, (int)c, (int)x0, (int)y, s->anchor[a], s);
            for (size_t i = 0; i < cells; i++)
                out[(x0 + i) * row + c] = v[i];
        }
    }
}

static void decode_range(const void *arg, size_t from, size_t to)
{
    const struct decode *d = arg;
    size_t h = (size_t)d->s->h;
    for (size_t i = from; i < to; i++)
        decode_row(d, i / h, i % h);
}

void CPU(yolo_decode)(struct device *d, float *out, size_t out_stride, const float *inp,
                      const struct yolo_dims *s)
{
    struct decode a = {out, inp, s, out_stride};
    size_t rows = (size_t)s->n * (size_t)s->anchors * (size_t)s->h;
    size_t row = (size_t)s->w * (5 + (size_t)s->classes);
    ranges_run(d, rows, 1 + RANGE_BLOCK / 4 / row, decode_range, &a);
}
