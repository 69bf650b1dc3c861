/*
 * act(x) of the CPU kernels. ReLU and leaky ReLU are one exact operation, so that a kernel may
 * write them its own way (x < 0 ? 0 : x keeps NaN); the sigmoid is always taken through act_row, so
 * fused or not its bits are the same.
 */
#ifndef KERNELS_CPU_ACT_H
#define KERNELS_CPU_ACT_H

#include "kernels/cpu/cpu.h"

static inline float act_relu(float x)
{
    return x < 0 ? 0 : x;
}

static inline float act_leaky(float x)
{
    return x < 0 ? x * (ACT_LEAKY_PERCENT * 0.01f) : x;
}

/* out = act(inp), n of them, on the calling thread; in place allowed. ACT_NONE copies. */
void CPU(act_row)(float *out, const float *inp, size_t n, enum act act);

#endif
