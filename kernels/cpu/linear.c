/*
 * Linear layers. Weights are read in place, once: as the rows of A in the forward pass, as a B that
 * each job packs for itself in backward data, as the C that weight gradients are added to. A
 * handful of samples takes linear_few.c, which does no more than stream the weights.
 */
#include "kernels/cpu/linear.h"

#include "kernels/cpu/gemm.h"

enum {
    BIAS_COLUMNS = 1024,
    WEIGHT_ROWS = 12,          /* of weight gradients walked together: so many streams of 2 KiB */
    LOCAL_B_FLOATS = 64 << 10, /* a weight matrix from this size on is not copied whole */
};

/* out^T (k, n) = weight (k, c) * inp^T (c, n) */
static struct gemm forward_plan(int n, int c, int k)
{
    return (struct gemm){
        .m = k,
        .n = n,
        .k = c,
        .alpha = 1,
        .a = {NULL, axis_line(c), axis_line(1)},
        .b = {NULL, axis_line(1), axis_line(c)},
        .c_row = axis_line(1),
        .c_col = axis_line(k),
        .bias_by_row = 1,
    };
}

/* dinp (n, c) = dout (n, k) * weight (k, c) */
static struct gemm backward_data_plan(int n, int c, int k)
{
    return (struct gemm){
        .m = n,
        .n = c,
        .k = k,
        .alpha = 1,
        .a = {NULL, axis_line(k), axis_line(1)},
        .b = {NULL, axis_line(c), axis_line(1)},
        .c_row = axis_line(c),
        .c_col = axis_line(1),
        .local_b = (size_t)c * (size_t)k >= LOCAL_B_FLOATS,
    };
}

/* dweight (k, c) += scale * dout^T (k, n) * inp (n, c) */
static struct gemm backward_weights_plan(int n, int c, int k)
{
    return (struct gemm){
        .m = k,
        .n = c,
        .k = n,
        .add = 1,
        .a = {NULL, axis_line(1), axis_line(k)},
        .b = {NULL, axis_line(c), axis_line(1)},
        .c_row = axis_line(c),
        .c_col = axis_line(1),
        .pack_a = 1,
        .rows = WEIGHT_ROWS,
    };
}

void CPU(linear_forward)(struct device *d, float *out, const float *inp, const float *weight,
                         const float *bias, int n, int c, int k, enum act act, void *work)
{
    enum act fused = act == ACT_SIGMOID ? ACT_NONE : act;
    if (n <= LINEAR_FEW) {
        CPU(linear_few_forward)(cpu_pool(d), out, inp, weight, bias, n, c, k, fused);
    } else {
        struct gemm g = forward_plan(n, c, k);
        g.a.data = weight;
        g.b.data = inp;
        g.c = out;
        g.bias = bias;
        g.act = fused;
        CPU(gemm_run)(cpu_pool(d), &g, work);
    }
    if (act != fused)
        CPU(act_forward)(d, out, out, (size_t)n * (size_t)k, act);
}

void CPU(linear_backward_data)(struct device *d, float *dinp, const float *dout,
                               const float *weight, int n, int c, int k, int add, void *work)
{
    if (n <= LINEAR_FEW) {
        CPU(linear_few_backward_data)(cpu_pool(d), dinp, dout, weight, n, c, k, add);
        return;
    }
    struct gemm g = backward_data_plan(n, c, k);
    g.a.data = dout;
    g.b.data = weight;
    g.c = dinp;
    g.add = add;
    CPU(gemm_run)(cpu_pool(d), &g, work);
}

struct bias_sum {
    float *dbias;
    const float *dout;
    int n, k;
    float scale;
};

static void sum_bias(void *arg, int job, int worker)
{
    const struct bias_sum *b = arg;
    int from = job * BIAS_COLUMNS, count = gemm_min(BIAS_COLUMNS, b->k - from);
    float sum[BIAS_COLUMNS] = {0};
    for (int i = 0; i < b->n; i++) {
        const float *row = b->dout + (size_t)i * (size_t)b->k + from;
        for (int j = 0; j < count; j++)
            sum[j] += row[j];
    }
    for (int j = 0; j < count; j++)
        b->dbias[from + j] += b->scale * sum[j];
}

void CPU(linear_backward_weights)(struct device *d, float *dweight, float *dbias, const float *dout,
                                  const float *inp, int n, int c, int k, float scale, void *work)
{
    if (dbias) {
        struct bias_sum b = {dbias, dout, n, k, scale};
        pool_run(cpu_pool(d), (k + BIAS_COLUMNS - 1) / BIAS_COLUMNS, sum_bias, &b);
    }
    struct gemm g = backward_weights_plan(n, c, k);
    g.alpha = scale;
    g.a.data = dout;
    g.b.data = inp;
    g.c = dweight;
    CPU(gemm_run)(cpu_pool(d), &g, work);
}

size_t CPU(linear_work)(struct device *d, int n, int c, int k)
{
    struct gemm forward = forward_plan(n, c, k), data = backward_data_plan(n, c, k),
                weights = backward_weights_plan(n, c, k);
    size_t bytes = CPU(gemm_bytes)(&forward);
    if (CPU(gemm_bytes)(&data) > bytes)
        bytes = CPU(gemm_bytes)(&data);
    if (CPU(gemm_bytes)(&weights) > bytes)
        bytes = CPU(gemm_bytes)(&weights);
    return bytes;
}
