/*
 * A layer of two inputs for the tests of connections: out = in[0] + in[1], same shapes. Also
 * helpers that build models of a few layers.
 */
#ifndef TESTS_SUM_LAYER_H
#define TESTS_SUM_LAYER_H

#include <stdio.h>

#include "layers/layer.h"
#include "models/build.h"

static int sum_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                    struct layer_plan *plan)
{
    CHECK(tensor_same_shape(&in[0], &in[1]));
    plan->out = in[0];
    return 0;
}

static void sum_move(struct device *d, struct tensor *dst, const struct tensor *src, int add)
{
    size_t row = tensor_row(src);
    d->kernels->copy_rows(d, tensor_floats(dst), row, tensor_floats(src), row, row,
                          (size_t)src->dim[0], add);
}

static void sum_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    sum_move(d, io->out, io->in[0], 0);
    sum_move(d, io->out, io->in[1], 1);
}

static void sum_backward_data(const struct layer *l, struct device *d, struct layer_io *io)
{
    for (int i = 0; i < 2; i++)
        if (io->mode[i] != GRAD_NONE)
            sum_move(d, io->din[i], io->dout, io->mode[i] == GRAD_ADD);
}

static const struct layer_ops sum_ops = {
    .name = "sum",
    .plan = sum_plan,
    .forward = sum_forward,
    .backward_data = sum_backward_data,
};

static inline struct layer *sum_new(void)
{
    return layer_alloc(&sum_ops, sizeof(struct layer));
}

static inline void residual_add(struct model *m, struct layer *l, int a, int b)
{
    char name[16];
    snprintf(name, sizeof(name), "r.%d", m->nlayer);
    CHECK(model_add_from(m, l, name, b < 0 ? 1 : 2, (int[]){a, b}) == 0);
}

/* Values with two readers, of which one works in place, could be fused, or hands on:
 * 0 conv, 1 act, 2 conv, 3 sum(1, 2), 4 sigmoid(3), 5 sum(3, 4), 6 conv, 7 act(6), 8 sum(6, 7),
 * 9 flatten, 10 linear. */
static inline struct model *residual_model(int channels, int side, enum act act)
{
    struct tensor in = tensor_f32(4, (int[]){1, channels, side, side});
    struct model *m;
    CHECK(model_begin(&m, "residual", &in) == 0);
    residual_add(m, conv2d_new(channels, channels, 3, 1, 1, true, INIT_PYTORCH), -1, -1);
    residual_add(m, activation_new(act), 0, -1);
    residual_add(m, conv2d_new(channels, channels, 3, 1, 1, true, INIT_PYTORCH), 1, -1);
    residual_add(m, sum_new(), 1, 2);
    residual_add(m, activation_new(ACT_SIGMOID), 3, -1);
    residual_add(m, sum_new(), 3, 4);
    residual_add(m, conv2d_new(channels, channels, 3, 1, 1, true, INIT_PYTORCH), 5, -1);
    residual_add(m, activation_new(act), 6, -1);
    residual_add(m, sum_new(), 6, 7);
    residual_add(m, flatten_new(), 8, -1);
    residual_add(m, linear_new(channels * side * side, 5, INIT_PYTORCH), 9, -1);
    m->classes = 5;
    CHECK(model_finish(m) == 0);
    return m;
}

#endif
