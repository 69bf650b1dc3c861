/*
 * (N, ...) to (N, features): another shape over the same memory. It copies only where both its ends
 * are lent by others, or where another layer's gradient is added to the same input.
 */
#include "layers/layer.h"

static int flatten_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                        struct layer_plan *plan)
{
    plan->out = tensor_f32(2, (int[]){in[0].dim[0], (int)tensor_row(&in[0])});
    plan->alias = true;
    return 0;
}

static const char *flatten_missing(const struct layer *l, const struct kernels *k,
                                   enum run_mode run)
{
    return k->copy_rows ? NULL : "copy_rows";
}

static void flatten_forward(const struct layer *l, struct device *d, struct layer_io *io)
{
    layer_copy(d, io->out, io->in[0], GRAD_SET);
}

static void flatten_backward_data(const struct layer *l, struct device *d, struct layer_io *io)
{
    if (io->mode[0] != GRAD_NONE)
        layer_copy(d, io->din[0], io->dout, io->mode[0]);
}

static const struct layer_ops flatten_ops = {
    .name = "flatten",
    .plan = flatten_plan,
    .missing = flatten_missing,
    .forward = flatten_forward,
    .backward_data = flatten_backward_data,
};

struct layer *flatten_new(void)
{
    return layer_alloc(&flatten_ops, sizeof(struct layer));
}
