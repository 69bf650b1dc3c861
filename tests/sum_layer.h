/*
 * A layer of two inputs for the tests of connections: out = in[0] + in[1], same shapes. Also
 * helpers that build models of a few layers.
 */
#ifndef TESTS_SUM_LAYER_H
#define TESTS_SUM_LAYER_H

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

/* 0 conv, 1 act, 2 conv, 3 sum(1, 2), 4 sigmoid(3), 5 sum(3, 4), 6 flatten(5), 7 linear: values
 * with two readers, one of which works in place or passes on. */
static inline struct model *residual_model(int channels, int side, enum act act)
{
    struct tensor in = tensor_f32(4, (int[]){1, channels, side, side});
    struct model *m;
    CHECK(model_begin(&m, "residual", &in) == 0);
    CHECK(model_add(m, conv2d_new(channels, channels, 3, 1, 1, true, INIT_PYTORCH), "a") == 0);
    CHECK(model_add(m, activation_new(act), "b") == 0);
    CHECK(model_add(m, conv2d_new(channels, channels, 3, 1, 1, true, INIT_PYTORCH), "c") == 0);
    CHECK(model_add_from(m, sum_new(), "d", 2, (int[]){1, 2}) == 0);
    CHECK(model_add(m, activation_new(ACT_SIGMOID), "e") == 0);
    CHECK(model_add_from(m, sum_new(), "f", 2, (int[]){3, 4}) == 0);
    CHECK(model_add(m, flatten_new(), "g") == 0);
    CHECK(model_add(m, linear_new(channels * side * side, 5, INIT_PYTORCH), "h") == 0);
    m->classes = 5;
    CHECK(model_finish(m) == 0);
    return m;
}

#endif
