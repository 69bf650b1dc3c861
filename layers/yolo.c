/*
 * darknet's section [yolo]: a detector's head in evaluation (Redmon, Farhadi, "YOLOv3", 2018): a
 * grid's raw numbers become boxes in the model's pixels. The last head of a model also gathers
 * those before it, so that a model has one output (n, boxes, 5 + classes): x, y of the middle,
 * width, height, whether there is an object, each class. Boxes are in the order anchor, row,
 * column.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "layers/darknet.h"

struct yolo {
    struct layer layer; /* first */
    int input_w, input_h, classes, anchors;
    float anchor[YOLO_MAX_ANCHORS][2];
};

static const struct yolo *yolo_of(const struct layer *l)
{
    return (const struct yolo *)l;
}

static struct yolo_dims dims_of(const struct yolo *y, const struct tensor *in)
{
    struct yolo_dims s = {
        .n = in->dim[0],
        .anchors = y->anchors,
        .classes = y->classes,
        .h = in->dim[2],
        .w = in->dim[3],
        .stride_x = (float)y->input_w / (float)in->dim[3],
        .stride_y = (float)y->input_h / (float)in->dim[2],
    };
    memcpy(s.anchor, y->anchor, sizeof(s.anchor));
    return s;
}

static int yolo_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                     struct layer_plan *plan)
{
    const struct yolo *y = yolo_of(l);
    int row = 5 + y->classes, ret = darknet_infers_only(l, run);
    if (ret < 0)
        return ret;
    if (in[0].ndim != 4 || in[0].dim[1] != y->anchors * row)
        return err_set(EINVAL,
                       "layer %d (yolo): %d anchors and %d classes want %d channels, it gets %s",
                       l->number, y->anchors, y->classes, y->anchors * row,
                       tensor_shape_text(&in[0], (char[64]){0}, 64));
    double boxes = (double)y->anchors * in[0].dim[2] * in[0].dim[3];
    for (int i = 1; i < l->nin; i++) {
        if (in[i].ndim != 3 || in[i].dim[2] != row)
            return err_set(EINVAL,
                           "layer %d (yolo) tells %d classes apart, the yolo layer %d another "
                           "number: a model's heads must agree",
                           l->number, y->classes, l->input[i]);
        boxes += in[i].dim[1];
    }
    if (boxes > INT_MAX)
        return err_set(EINVAL, "layer %d (yolo): %.0f boxes are too many", l->number, boxes);
    plan->out = tensor_f32(3, (int[]){in[0].dim[0], (int)boxes, row});
    return 0;
}

static const char *yolo_missing(const struct layer *l, const struct kernels *k, enum run_mode run)
{
    if (!k->yolo_decode)
        return "yolo_decode";
    return k->copy_rows ? NULL : "copy_rows";
}

static void yolo_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    struct yolo_dims s = dims_of(yolo_of(l), io->in[0]);
    float *out = tensor_floats(io->out);
    size_t sample = tensor_row(io->out);
    for (int i = 1; i < l->nin; i++) {
        size_t part = tensor_row(io->in[i]);
        d->kernels->copy_rows(d, out, sample, tensor_floats(io->in[i]), part, part, (size_t)s.n, 0);
        out += part;
    }
    d->kernels->yolo_decode(d, out, sample, tensor_floats(io->in[0]), &s);
}

static char *yolo_describe(const struct layer *l, char *text, size_t text_bytes)
{
    const struct yolo *y = yolo_of(l);
    size_t used = (size_t)snprintf(text, text_bytes, "%d classes, anchors", y->classes);
    for (int i = 0; i < y->anchors && used < text_bytes; i++)
        used += (size_t)snprintf(text + used, text_bytes - used, " %gx%g", (double)y->anchor[i][0],
                                 (double)y->anchor[i][1]);
    return text;
}

static const struct layer_ops yolo_ops = {
    .name = "yolo",
    .plan = yolo_plan,
    .missing = yolo_missing,
    .forward = yolo_forward,
    .describe = yolo_describe,
};

struct layer *yolo_new(int input_w, int input_h, int classes, int anchors, const float anchor[][2])
{
    CHECK(anchors > 0 && anchors <= YOLO_MAX_ANCHORS && classes >= 0);
    struct yolo *y = layer_alloc(&yolo_ops, sizeof(*y));
    if (!y)
        return NULL;
    y->input_w = input_w;
    y->input_h = input_h;
    y->classes = classes;
    y->anchors = anchors;
    memcpy(y->anchor, anchor, (size_t)anchors * sizeof(anchor[0]));
    return &y->layer;
}
