/*
 * YOLOv3 and YOLOv3-tiny (Redmon, Farhadi, "YOLOv3: An incremental improvement", 2018), layer for
 * layer as darknet's yolov3.cfg and yolov3-tiny.cfg define them: the same numbers, names and
 * weights. YOLOv3 is darknet-53 without its end, then three heads at strides 32, 16 and 8.
 */
#include "models/darknet.h"

enum { YOLO_CLASSES = 80, YOLO_ANCHORS = 3 };

static int conv(struct darknet_builder *b, int filters, int size, int stride)
{
    struct darknet_conv_dims c = {
        .filters = filters,
        .size = size,
        .stride = stride,
        .pad = size / 2,
        .batch_normalize = true,
        .act = ACT_LEAKY,
    };
    return darknet_add_convolutional(b, &c);
}

/* Halves the picture, then `blocks` residual blocks. */
static int stage(struct darknet_builder *b, int filters, int blocks)
{
    int ret = conv(b, filters, 3, 2);
    for (int i = 0; i < blocks && ret == 0; i++) {
        ret = conv(b, filters / 2, 1, 1);
        if (ret == 0)
            ret = conv(b, filters, 3, 1);
        if (ret == 0)
            ret = darknet_add_shortcut(b, b->m->nlayer - 3, ACT_NONE);
    }
    return ret;
}

/* The last convolution of a head and its boxes. */
static int head(struct darknet_builder *b, int classes, const float anchor[][2], bool last)
{
    struct darknet_conv_dims c = {
        .filters = YOLO_ANCHORS * (5 + classes),
        .size = 1,
        .stride = 1,
    };
    int ret = darknet_add_convolutional(b, &c);
    return ret < 0 ? ret : darknet_add_yolo(b, classes, YOLO_ANCHORS, anchor, last);
}

/* From the layer before the last head on: half as many channels, twice the size, joined with an
 * earlier layer. */
static int neck(struct darknet_builder *b, int from, int filters, int join)
{
    int ret = darknet_add_route(b, 1, &from);
    if (ret == 0)
        ret = conv(b, filters, 1, 1);
    if (ret == 0)
        ret = darknet_add_upsample(b, 2);
    return ret < 0 ? ret : darknet_add_route(b, 2, (int[]){b->m->nlayer - 1, join});
}

/* Three pairs of convolutions and a head. */
static int scale(struct darknet_builder *b, int filters, int classes, const float anchor[][2],
                 bool last)
{
    int ret = 0;
    for (int i = 0; i < 3 && ret == 0; i++) {
        ret = conv(b, filters, 1, 1);
        if (ret == 0)
            ret = conv(b, 2 * filters, 3, 1);
    }
    return ret < 0 ? ret : head(b, classes, anchor, last);
}

int yolov3_build(struct model *m, const struct model_options *opt)
{
    static const int blocks[] = {1, 2, 8, 8, 4};
    static const float anchor[3][YOLO_ANCHORS][2] = {
        {{116, 90}, {156, 198}, {373, 326}},
        {{30, 61}, {62, 45}, {59, 119}},
        {{10, 13}, {16, 30}, {33, 23}},
    };
    int classes = opt->classes ? opt->classes : YOLO_CLASSES, end[5];
    struct darknet_builder b;
    int ret = darknet_check_options(m->name, opt);
    darknet_begin(&b, m);
    if (ret == 0)
        ret = conv(&b, 32, 3, 1);
    for (int i = 0; i < 5 && ret == 0; i++) {
        ret = stage(&b, 64 << i, blocks[i]);
        end[i] = m->nlayer - 1;
    }
    if (ret == 0)
        ret = scale(&b, 512, classes, anchor[0], false);
    for (int i = 1; i < 3 && ret == 0; i++) {
        ret = neck(&b, m->nlayer - 4, 512 >> i, end[4 - i]);
        if (ret == 0)
            ret = scale(&b, 512 >> i, classes, anchor[i], i == 2);
    }
    if (ret == 0)
        darknet_end(&b);
    return ret;
}

static int tiny_backbone(struct darknet_builder *b, int *join)
{
    int ret = 0;
    for (int i = 0; i < 6 && ret == 0; i++) {
        ret = conv(b, 16 << i, 3, 1);
        *join = i == 4 ? b->m->nlayer - 1 : *join;
        /* the last max-pool keeps the size: stride 1, padded after the image */
        if (ret == 0)
            ret = darknet_add_maxpool(b, 2, i < 5 ? 2 : 1, 1);
    }
    return ret;
}

int yolov3_tiny_build(struct model *m, const struct model_options *opt)
{
    static const float anchor[2][YOLO_ANCHORS][2] = {
        {{81, 82}, {135, 169}, {344, 319}},
        {{10, 14}, {23, 27}, {37, 58}},
    };
    int classes = opt->classes ? opt->classes : YOLO_CLASSES, join = 0;
    struct darknet_builder b;
    int ret = darknet_check_options(m->name, opt);
    darknet_begin(&b, m);
    if (ret == 0)
        ret = tiny_backbone(&b, &join);
    if (ret == 0)
        ret = conv(&b, 1024, 3, 1);
    if (ret == 0)
        ret = conv(&b, 256, 1, 1);
    if (ret == 0)
        ret = conv(&b, 512, 3, 1);
    if (ret == 0)
        ret = head(&b, classes, anchor[0], false);
    if (ret == 0)
        ret = neck(&b, m->nlayer - 4, 128, join);
    if (ret == 0)
        ret = conv(&b, 256, 3, 1);
    if (ret == 0)
        ret = head(&b, classes, anchor[1], true);
    if (ret == 0)
        darknet_end(&b);
    return ret;
}
