/* Activations, elementwise over the pool. One loop an activation, so that each vectorises. */
#include "kernels/cpu/act.h"

#include <string.h>

#include "kernels/cpu/exp.h"
#include "kernels/cpu/ranges.h"

void CPU(act_row)(float *out, const float *inp, size_t n, enum act act)
{
    switch (act) {
    case ACT_RELU:
        ELEMENTWISE
        for (size_t i = 0; i < n; i++)
            out[i] = act_relu(inp[i]);
        break;
    case ACT_LEAKY:
        ELEMENTWISE
        for (size_t i = 0; i < n; i++)
            out[i] = act_leaky(inp[i]);
        break;
    case ACT_SIGMOID:
        ELEMENTWISE
        for (size_t i = 0; i < n; i++)
            out[i] = 1.0f / (1.0f + exp_poly(-inp[i]));
        break;
    default:
        if (out != inp)
            memcpy(out, inp, n * sizeof(*out));
    }
}

struct act_args {
    float *out;
    const float *a, *b;
    enum act act;
    int add;
};

static void forward_range(const void *arg, size_t from, size_t to)
{
    const struct act_args *a = arg;
    CPU(act_row)(a->out + from, a->a + from, to - from, a->act);
}

void CPU(act_forward)(struct device *d, float *out, const float *inp, size_t n, enum act act)
{
    struct act_args a = {.out = out, .a = inp, .act = act};
    ranges_run(d, n, RANGE_BLOCK, forward_range, &a);
}

/* One loop for each activation and each of set and add; `slope` is in terms of y, the output. */
#define BACKWARD_LOOP(slope)                               \
    do {                                                   \
        if (add) {                                         \
            ELEMENTWISE for (size_t i = from; i < to; i++) \
            {                                              \
                float y = out[i];                          \
                dinp[i] += dout[i] * (slope);              \
            }                                              \
        } else {                                           \
            ELEMENTWISE for (size_t i = from; i < to; i++) \
            {                                              \
                float y = out[i];                          \
                dinp[i] = dout[i] * (slope);               \
            }                                              \
        }                                                  \
    } while (0)

static void backward_range(const void *arg, size_t from, size_t to)
{
    const struct act_args *a = arg;
    float *dinp = a->out;
    const float *dout = a->a, *out = a->b;
    int add = a->add;
    switch (a->act) {
    case ACT_RELU:
        BACKWARD_LOOP(y > 0 ? 1.0f : 0.0f);
        break;
    case ACT_LEAKY:
        BACKWARD_LOOP(y > 0 ? 1.0f : ACT_LEAKY_PERCENT * 0.01f);
        break;
    case ACT_SIGMOID:
        BACKWARD_LOOP(y * (1.0f - y));
        break;
    default:
        BACKWARD_LOOP(((void)y, 1.0f));
    }
}

void CPU(act_backward)(struct device *d, float *dinp, const float *dout, const float *out, size_t n,
                       enum act act, int add)
{
    struct act_args a = {dinp, dout, out, act, add};
    ranges_run(d, n, RANGE_BLOCK, backward_range, &a);
}
