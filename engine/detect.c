/* Non-maximum suppression and the way back to the picture. */
#include "engine/detect.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static int by_score(const void *a, const void *b)
{
    const struct box *p = a, *q = b;
    float x = p->conf * p->class_conf, y = q->conf * q->class_conf;
    return x != y ? (x < y) - (x > y) : (p->number > q->number) - (p->number < q->number);
}

static struct box box_of(const float *raw, int number, int classes)
{
    const float *score = raw + 5;
    int best = 0;
    for (int c = 1; c < classes; c++)
        if (score[c] > score[best])
            best = c;
    return (struct box){
        .x1 = raw[0] - raw[2] / 2,
        .y1 = raw[1] - raw[3] / 2,
        .x2 = raw[0] + raw[2] / 2,
        .y2 = raw[1] + raw[3] / 2,
        .conf = raw[4],
        .class_conf = score[best],
        .class = best,
        .number = number,
    };
}

static bool finite_box(const struct box *b)
{
    return isfinite(b->x1) && isfinite(b->y1) && isfinite(b->x2) && isfinite(b->y2) &&
           isfinite(b->conf) && isfinite(b->class_conf);
}

static float positive(float x)
{
    return x > 0 ? x : 0;
}

/* Intersection over union; the corners' pixels belong to the boxes, hence + 1. */
static float overlap(const struct box *a, const struct box *b)
{
    float w = fminf(a->x2, b->x2) - fmaxf(a->x1, b->x1) + 1;
    float h = fminf(a->y2, b->y2) - fmaxf(a->y1, b->y1) + 1;
    float both = positive(w) * positive(h);
    float area_a = (a->x2 - a->x1 + 1) * (a->y2 - a->y1 + 1);
    float area_b = (b->x2 - b->x1 + 1) * (b->y2 - b->y1 + 1);
    return both / (area_a + area_b - both + 1e-16f);
}

/* Takes box[0] and all that are one with it out of the list of *n: their mean. */
static struct box take_first(struct box *box, int *n, float nms)
{
    struct box first = box[0];
    double weight = 0, x1 = 0, y1 = 0, x2 = 0, y2 = 0;
    int left = 0;
    for (int i = 0; i < *n; i++) {
        struct box b = box[i];
        if (i > 0 && !(b.class == first.class && overlap(&first, &b) > nms)) {
            box[left++] = b;
            continue;
        }
        double w = (double)b.conf;
        weight += w;
        x1 += w * (double)b.x1;
        y1 += w * (double)b.y1;
        x2 += w * (double)b.x2;
        y2 += w * (double)b.y2;
    }
    *n = left;
    if (weight > 0) { /* 0 where all boxes count, also those of no confidence */
        first.x1 = (float)(x1 / weight);
        first.y1 = (float)(y1 / weight);
        first.x2 = (float)(x2 / weight);
        first.y2 = (float)(y2 / weight);
    }
    return first;
}

int detect_boxes(struct box *box, const float *raw, int nraw, int classes,
                 const struct detect_limits *limits, struct box *scratch)
{
    int n = 0, found = 0;
    for (int i = 0; i < nraw; i++) {
        const float *row = raw + (size_t)i * (size_t)(5 + classes);
        if (!(row[4] >= limits->conf))
            continue;
        scratch[n] = box_of(row, i, classes);
        n += finite_box(&scratch[n]);
    }
    qsort(scratch, (size_t)n, sizeof(*scratch), by_score);
    while (n > 0)
        box[found++] = take_first(scratch, &n, limits->nms);
    return found;
}

void detect_pack(float *to, const struct box *box, int n)
{
    for (int i = 0; i < n; i++, to += BOX_FLOATS) {
        const struct box *b = &box[i];
        const float v[BOX_FLOATS] = {b->x1,   b->y1,         b->x2,          b->y2,
                                     b->conf, b->class_conf, (float)b->class};
        memcpy(to, v, sizeof(v));
    }
}

int detect_unpack(struct box *box, const float *from, int n, int classes)
{
    for (int i = 0; i < n; i++, from += BOX_FLOATS) {
        box[i] = (struct box){from[0], from[1], from[2], from[3], from[4], from[5], 0, i};
        if (!finite_box(&box[i]) || !(from[6] >= 0 && from[6] < (float)classes))
            return err_set(EPROTO, "box %d of class %g, of %d classes, is none", i, (double)from[6],
                           classes);
        box[i].class = (int)from[6];
    }
    return 0;
}

static float within(float x, int size)
{
    return x < 0 ? 0 : x > (float)size ? (float)size : x;
}

void detect_map(struct box *b, const struct detect_view *v)
{
    int iw = v->letterbox ? v->inner_w : v->in_w, ih = v->letterbox ? v->inner_h : v->in_h;
    int left = (v->in_w - iw) / 2, top = (v->in_h - ih) / 2; /* whole pixels */
    float rx = (float)v->w / (float)iw, ry = (float)v->h / (float)ih;
    b->x1 = within((b->x1 - (float)left) * rx, v->w);
    b->x2 = within((b->x2 - (float)left) * rx, v->w);
    b->y1 = within((b->y1 - (float)top) * ry, v->h);
    b->y2 = within((b->y2 - (float)top) * ry, v->h);
}
