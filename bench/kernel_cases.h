/*
 * The kernels that only move memory, for bench_kernels and bench_cuda: each as one call on arrays
 * of the sizes of VGG11 at batch BENCH_BATCH, 64 if it is not defined before, or of YOLOv3's where
 * VGG has none; and the floats that must be read and written at least.
 */
#ifndef BENCH_KERNEL_CASES_H
#define BENCH_KERNEL_CASES_H

#include "kernels/kernels.h"

#ifndef BENCH_BATCH
#define BENCH_BATCH 64
#endif
#ifndef BENCH_NORM_READS /* of its input, in training */
#define BENCH_NORM_READS 3
#endif
enum { SMALL = 8192 };

struct arrays {
    struct device *dev;
    float *x, *y, *z; /* 4 ALL, ALL, ALL floats */
    uint8_t *arg;     /* ALL bytes */
    float *small;     /* SMALL floats above 0: channels' numbers */
};

struct kernel_case {
    const char *name;
    size_t read, write; /* floats that must cross memory */
    void (*run)(void *arrays);
};

static const struct pool_dims pool1 = {BENCH_BATCH, 64, 32, 32, 2, 2, 2, 2, 0, 0, 16, 16};
static const struct pool_dims pool2 = {BENCH_BATCH, 128, 16, 16, 2, 2, 2, 2, 0, 0, 8, 8};
static const struct pool_dims pool4 = {BENCH_BATCH, 512, 4, 4, 2, 2, 2, 2, 0, 0, 2, 2};
static const struct pool_dims pool5 = {BENCH_BATCH, 512, 2, 2, 2, 2, 2, 2, 0, 0, 1, 1};
static const struct pool_dims tiny = {1, 512, 13, 13, 2, 2, 1, 1, 0, 0, 13, 13};
static const struct yolo_dims head = {.n = 1,
                                      .anchors = 3,
                                      .classes = 80,
                                      .h = 52,
                                      .w = 52,
                                      .stride_x = 8,
                                      .stride_y = 8,
                                      .anchor = {{10, 13}, {16, 30}, {33, 23}}};
static const struct rng key = {{1, 2}, {3, 4}};

#define IN(s) ((size_t)(s).n * (s).c * (s).h * (s).w)
#define HEAD ((size_t)3 * 85 * 52 * 52)
#define KERNELS (((struct arrays *)a)->dev->kernels)
#define DEV (((struct arrays *)a)->dev)
#define X (((struct arrays *)a)->x)
#define Y (((struct arrays *)a)->y)
#define Z (((struct arrays *)a)->z)
#define ARG (((struct arrays *)a)->arg)
#define S(i) (((struct arrays *)a)->small + (size_t)1024 * (i))
#define CASE(name, call)      \
    static void name(void *a) \
    {                         \
        KERNELS->call;        \
    }

CASE(relu, act_forward(DEV, Y, Y, IN(pool1), ACT_RELU))
CASE(relu_back, act_backward(DEV, X, X, Y, IN(pool1), ACT_RELU, 0))
CASE(sigmoid, act_forward(DEV, Y, X, IN(pool1), ACT_SIGMOID))
CASE(max1, maxpool_forward(DEV, Y, ARG, X, &pool1))
CASE(max1_infer, maxpool_forward(DEV, Y, NULL, X, &pool1))
CASE(max2, maxpool_forward(DEV, Y, ARG, X, &pool2))
CASE(max4, maxpool_forward(DEV, Y, ARG, X, &pool4))
CASE(max5, maxpool_forward(DEV, Y, ARG, X, &pool5))
CASE(max_tiny, maxpool_forward(DEV, Y, NULL, X, &tiny))
CASE(max1_back, maxpool_backward(DEV, Y, X, ARG, &pool1, 0))
CASE(max4_back, maxpool_backward(DEV, Y, X, ARG, &pool4, 0))
CASE(max5_back, maxpool_backward(DEV, Y, X, ARG, &pool5, 0))
CASE(avg, avgpool_forward(DEV, Y, X, BENCH_BATCH, 512, 1, 1, 7, 7))
CASE(avg_back, avgpool_backward(DEV, Y, X, BENCH_BATCH, 512, 1, 1, 7, 7, 0))
CASE(up, upsample_forward(DEV, Y, X, 1, 128, 26, 26, 2))
CASE(up_back, upsample_backward(DEV, Y, X, 1, 128, 26, 26, 2, 0))
CASE(drop, dropout_forward(DEV, Y, X, (size_t)BENCH_BATCH * 4096, 0.5f, &key, 0))
CASE(drop_back, dropout_backward(DEV, Y, X, (size_t)BENCH_BATCH * 4096, 0.5f, &key, 0, 0))
CASE(bn_train, batchnorm_forward_train(DEV, Y, S(0), S(1), S(2), S(3), X, S(4), S(5), BENCH_BATCH,
                                       64, 1024, 0.1f, 1e-5f))
CASE(bn_eval, batchnorm_forward_eval(DEV, Y, X, S(4), S(5), S(2), S(3), BENCH_BATCH, 64, 1024,
                                     1e-5f, ACT_LEAKY))
CASE(bn_back, batchnorm_backward_data(DEV, Z, S(6), S(7), Y, X, S(4), S(0), S(1), BENCH_BATCH, 64,
                                      1024, 1e-5f, 0))
CASE(boxes, yolo_decode(DEV, Y, HEAD, X, &head))
CASE(xent, softmax_xent(DEV, S(0), Y, X, (const int32_t *)ARG, BENCH_BATCH, 1000, 1))
CASE(axpy, axpy(DEV, Y, X, IN(pool1), 1e-9f))
CASE(axpby, axpby(DEV, Y, X, IN(pool1), 0.5f, 0.5f))
CASE(rows, copy_rows(DEV, Y, (size_t)3 * 65536, X, 65536, 65536, 20, 0))
CASE(fill, fill(DEV, Y, IN(pool1), 1))
CASE(uniform, fill_uniform(DEV, Y, IN(pool1), &key, -1, 1))
CASE(normal, fill_normal(DEV, Y, IN(pool1), &key, 0, 1))
CASE(to_half, f32_to_f16(DEV, (void *)Y, X, IN(pool1)))
CASE(to_float, f16_to_f32(DEV, Y, (const void *)X, IN(pool1)))

#define ALL ((size_t)BENCH_BATCH * 64 * 32 * 32)
#define AVG ((size_t)BENCH_BATCH * 512)
static const struct kernel_case cases[] = {
    {"relu in place", ALL, ALL, relu},
    {"relu backward in place", 2 * ALL, ALL, relu_back},
    {"sigmoid", ALL, ALL, sigmoid},
    {"maxpool 1, 64x32x32", ALL, ALL / 4 + ALL / 16, max1},
    {"maxpool 1, no arg", ALL, ALL / 4, max1_infer},
    {"maxpool 2, 128x16x16", ALL / 2, ALL / 8 + ALL / 32, max2},
    {"maxpool 4, 512x4x4", ALL / 8, ALL / 32 + ALL / 128, max4},
    {"maxpool 5, 512x2x2", ALL / 32, ALL / 128 + ALL / 512, max5},
    {"maxpool 2x2 stride 1, 512x13x13", 86528, 86528, max_tiny},
    {"maxpool 1 backward", ALL / 4 + ALL / 16, ALL, max1_back},
    {"maxpool 4 backward", ALL / 32 + ALL / 128, ALL / 8, max4_back},
    {"maxpool 5 backward", ALL / 128 + ALL / 512, ALL / 32, max5_back},
    {"avgpool 512, 1x1 to 7x7", AVG, 49 * AVG, avg},
    {"avgpool backward", 49 * AVG, AVG, avg_back},
    {"upsample 128x26x26 by 2", 86528, 346112, up},
    {"upsample backward", 346112, 86528, up_back},
    {"dropout 4096", 8 * AVG, 8 * AVG, drop},
    {"dropout backward", 8 * AVG, 8 * AVG, drop_back},
    {"batchnorm train 64x32x32", BENCH_NORM_READS *ALL, ALL, bn_train},
    {"batchnorm eval, leaky", ALL, ALL, bn_eval},
    {"batchnorm backward", 4 * ALL, ALL, bn_back},
    {"yolo_decode 255x52x52", HEAD, HEAD, boxes},
    {"softmax_xent 1000", (size_t)BENCH_BATCH * 1000, (size_t)BENCH_BATCH * 1000, xent},
    {"axpy", 2 * ALL, ALL, axpy},
    {"axpby", 2 * ALL, ALL, axpby},
    {"copy_rows 20 of 256 KiB", 1310720, 1310720, rows},
    {"fill", 0, ALL, fill},
    {"fill_uniform", 0, ALL, uniform},
    {"fill_normal", 0, ALL, normal},
    {"f32_to_f16", ALL, ALL / 2, to_half},
    {"f16_to_f32", ALL / 2, ALL, to_float},
};

#endif
