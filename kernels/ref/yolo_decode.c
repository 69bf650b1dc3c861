/* A YOLO head's numbers as boxes in pixels (Redmon, Farhadi, "YOLOv3", 2018, section 2.1). */
#include <math.h>

#include "kernels/ref/act.h"
#include "kernels/ref/ref.h"

/* Value c of an anchor's box in column x and row y. */
static float decode(float t, int c, int x, int y, const float anchor[2], const struct yolo_dims *s)
{
    switch (c) {
    case 0:
        return (float)(((double)ref_act(t, ACT_SIGMOID) + x) * s->stride_x);
    case 1:
        return (float)(((double)ref_act(t, ACT_SIGMOID) + y) * s->stride_y);
    case 2:
    case 3:
        return (float)(exp((double)t) * anchor[c - 2]);
    default:
        return ref_act(t, ACT_SIGMOID);
    }
}

void ref_yolo_decode(struct device *d, float *out, size_t out_stride, const float *inp,
                     const struct yolo_dims *s)
{
    int row = 5 + s->classes;
    for (int n = 0; n < s->n; n++) {
        float *to = out + (size_t)n * out_stride;
        for (int a = 0; a < s->anchors; a++)
            for (int y = 0; y < s->h; y++)
                for (int x = 0; x < s->w; x++)
                    for (int c = 0; c < row; c++) {
                        size_t plane = ((size_t)n * s->anchors + a) * row + c;
                        *to++ =
                            decode(inp[(plane * s->h + y) * s->w + x], c, x, y, s->anchor[a], s);
                    }
    }
}
