/*
 * Linear layers over 1 to LINEAR_FEW samples: memory-bound, so each weight is read once, in order,
 * and nothing is packed. Forward is dot products of weight rows, backward data a sum of weight
 * rows.
 */
#include "kernels/cpu/act.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/linear.h"

enum {
    ROWS = 4,              /* weight rows taken together */
    JOB_FLOATS = 32 << 10, /* weights of one job, about */
    COLUMNS = 512,         /* of a job of backward data: runs of 2 KiB */
};

struct few {
    float *out;
    const float *inp, *weight, *bias;
    int n, c, k, rows, add;
    enum act act;
};

static float sum_lanes(vf v)
{
    float x[VL];
    vf_store(x, v);
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            x[i] += x[i + half];
    return x[0];
}

static float finish(float x, enum act act)
{
    if (act == ACT_RELU)
        return act_relu(x);
    return act == ACT_LEAKY ? act_leaky(x) : x;
}

/* `rows` outputs of each of n samples; both are constants where this is called. */
static inline __attribute__((always_inline)) void dots(const struct few *f, int r0, const int rows,
                                                       const int n)
{
    vf sum[ROWS][LINEAR_FEW];
    const float *weight = f->weight + (size_t)r0 * (size_t)f->c;
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int b = 0; b < n; b++)
            sum[i][b] = vf_all(0);
    int j = 0;
    for (; j + VL <= f->c; j += VL) {
        vf x[LINEAR_FEW];
#pragma GCC unroll 4
        for (int b = 0; b < n; b++)
            x[b] = vf_load(f->inp + (size_t)b * (size_t)f->c + j);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            vf w = vf_load(weight + (size_t)i * (size_t)f->c + j);
#pragma GCC unroll 4
            for (int b = 0; b < n; b++)
                sum[i][b] += w * x[b];
        }
    }
    for (int i = 0; i < rows; i++) {
        for (int b = 0; b < n; b++) {
            float s = sum_lanes(sum[i][b]);
            for (int u = j; u < f->c; u++)
                s += weight[(size_t)i * (size_t)f->c + u] * f->inp[(size_t)b * (size_t)f->c + u];
            if (f->bias)
                s += f->bias[r0 + i];
            f->out[(size_t)b * (size_t)f->k + r0 + i] = finish(s, f->act);
        }
    }
}

static void dots_of(const struct few *f, int r0, int rows)
{
    for (; rows >= ROWS; r0 += ROWS, rows -= ROWS) {
        if (f->n == 1)
            dots(f, r0, ROWS, 1);
        else if (f->n == 2)
            dots(f, r0, ROWS, 2);
        else if (f->n == 3)
            dots(f, r0, ROWS, 3);
        else
            dots(f, r0, ROWS, 4);
    }
    for (; rows > 0; r0++, rows--) {
        if (f->n == 1)
            dots(f, r0, 1, 1);
        else if (f->n == 2)
            dots(f, r0, 1, 2);
        else if (f->n == 3)
            dots(f, r0, 1, 3);
        else
            dots(f, r0, 1, 4);
    }
}

static void forward_rows(void *arg, int job, int worker)
{
    const struct few *f = arg;
    dots_of(f, job * f->rows, gemm_min(f->rows, f->k - job * f->rows));
}

void CPU(linear_few_forward)(struct pool *pool, float *out, const float *inp, const float *weight,
                             const float *bias, int n, int c, int k, enum act act)
{
    struct few f = {out, inp, weight, bias, n, c, k, gemm_round_up(JOB_FLOATS / c + 1, ROWS),
                    0,   act};
    pool_run(pool, (k + f.rows - 1) / f.rows, forward_rows, &f);
}

/*
 * sum (count) += weight rows k0 .. k0 + rows - 1, each times its gradient; ROWS together, so that
 * the sums are loaded and stored once for so many.
 */
static void add_rows(float *sum, const float *grad, const float *weight, size_t c, int rows,
                     int count)
{
    if (rows == ROWS) {
        int j = 0;
        for (; j + VL <= count; j += VL) {
            vf s = vf_load(sum + j);
#pragma GCC unroll 4
            for (int i = 0; i < ROWS; i++)
                s += vf_all(grad[i]) * vf_load(weight + (size_t)i * c + j);
            vf_store(sum + j, s);
        }
        for (; j < count; j++)
            for (int i = 0; i < ROWS; i++)
                sum[j] += grad[i] * weight[(size_t)i * c + j];
        return;
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < count; j++)
            sum[j] += grad[i] * weight[(size_t)i * c + j];
}

static void backward_columns(void *arg, int job, int worker)
{
    const struct few *f = arg;
    int from = job * COLUMNS, count = gemm_min(COLUMNS, f->c - from);
    float sum[LINEAR_FEW][COLUMNS] = {{0}};
    for (int r = 0; r < f->k; r += ROWS) {
        int rows = gemm_min(ROWS, f->k - r);
        const float *weight = f->weight + (size_t)r * (size_t)f->c + from;
        for (int b = 0; b < f->n; b++)
            add_rows(sum[b], f->inp + (size_t)b * (size_t)f->k + r, weight, (size_t)f->c, rows,
                     count);
    }
    for (int b = 0; b < f->n; b++) {
        float *out = f->out + (size_t)b * (size_t)f->c + from;
        for (int j = 0; j < count; j++)
            out[j] = f->add ? out[j] + sum[b][j] : sum[b][j];
    }
}

void CPU(linear_few_backward_data)(struct pool *pool, float *dinp, const float *dout,
                                   const float *weight, int n, int c, int k, int add)
{
    struct few f = {.out = dinp, .inp = dout, .weight = weight, .n = n, .c = c, .k = k, .add = add};
    pool_run(pool, (c + COLUMNS - 1) / COLUMNS, backward_columns, &f);
}
