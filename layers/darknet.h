/*
 * The layers that darknet's models (.cfg files) are made of, beside maxpool: constructors and what
 * they share. Names are those of the sections.
 */
#ifndef LAYERS_DARKNET_H
#define LAYERS_DARKNET_H

#include "layers/layer.h"

struct darknet_conv_dims {
    int channels, filters, size, stride, pad;
    bool batch_normalize;
    enum act act;
};

/* number: the layer's, which is a part of its parameters' names. */
struct layer *darknet_conv_new(int number, const struct darknet_conv_dims *dims);

/* (n, c, h, w) -> (n, c, h factor, w factor) */
struct layer *upsample_new(int factor);

/* The images of all inputs, channel after channel. Of one input: the same image again. */
struct layer *route_new(void);

/* The sum of two inputs, then an activation, which the backward does not know. */
struct layer *shortcut_new(enum act act);

/* A detector's head: its first input is a grid of anchors * (5 + classes) channels; the others are
 * heads before it, whose boxes come before its own. input_w, input_h: the model's pictures. Output
 * (n, boxes, 5 + classes). */
struct layer *yolo_new(int input_w, int input_h, int classes, int anchors, const float anchor[][2]);

/* "linear", "leaky", ...: as a .cfg spells it. */
const char *darknet_act_name(enum act act);

/* For plans: a sentence and -EINVAL in RUN_TRAIN. */
int darknet_infers_only(const struct layer *l, enum run_mode run);

#endif
