/* Convolutions that benches measure: the layers of VGG11 at batch 64 and some of YOLOv3 at 416 x
 * 416, batch 1. All pad by half their kernel. */
#ifndef BENCH_CONV_CASES_H
#define BENCH_CONV_CASES_H

#include <stdio.h>

#include "kernels/kernels.h"

static const struct conv_case {
    const char *net;
    int n, c, size, k, kernel, stride, trained;
} conv_cases[] = {
    {"vgg11", 64, 3, 32, 64, 3, 1, 1},     {"vgg11", 64, 64, 16, 128, 3, 1, 1},
    {"vgg11", 64, 128, 8, 256, 3, 1, 1},   {"vgg11", 64, 256, 8, 256, 3, 1, 1},
    {"vgg11", 64, 256, 4, 512, 3, 1, 1},   {"vgg11", 64, 512, 4, 512, 3, 1, 1},
    {"vgg11", 64, 512, 2, 512, 3, 1, 1},   {"yolov3", 1, 3, 416, 32, 3, 1, 0},
    {"yolov3", 1, 32, 416, 64, 3, 2, 0},   {"yolov3", 1, 64, 208, 32, 1, 1, 0},
    {"yolov3", 1, 32, 208, 64, 3, 1, 0},   {"yolov3", 1, 128, 104, 64, 1, 1, 0},
    {"yolov3", 1, 64, 104, 128, 3, 1, 0},  {"yolov3", 1, 256, 52, 128, 1, 1, 0},
    {"yolov3", 1, 128, 52, 256, 3, 1, 0},  {"yolov3", 1, 256, 52, 512, 3, 2, 0},
    {"yolov3", 1, 512, 26, 256, 1, 1, 0},  {"yolov3", 1, 256, 26, 512, 3, 1, 0},
    {"yolov3", 1, 1024, 13, 512, 1, 1, 0}, {"yolov3", 1, 512, 13, 1024, 3, 1, 0},
    {"yolov3", 1, 1024, 13, 255, 1, 1, 0},
};
enum { CONV_CASES = sizeof(conv_cases) / sizeof(conv_cases[0]) };

static inline struct conv2d_dims conv_case_dims(const struct conv_case *c)
{
    int pad = c->kernel / 2, out = (c->size + 2 * pad - c->kernel) / c->stride + 1;
    return (struct conv2d_dims){c->n,      c->c,      c->size, c->size, c->k, c->kernel, c->kernel,
                                c->stride, c->stride, pad,     pad,     out,  out};
}

static inline void conv_case_name(const struct conv_case *c, const char *part, char *name,
                                  size_t bytes)
{
    snprintf(name, bytes, "%s %d->%d @%dx%d kernel %d stride %d batch %d %s", c->net, c->c, c->k,
             c->size, c->size, c->kernel, c->stride, c->n, part);
}

#endif
