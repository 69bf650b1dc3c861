/*
 * Linear layers over a handful of samples, n in 1 .. LINEAR_FEW; linear.c calls them. No work
 * memory.
 */
#ifndef KERNELS_CPU_LINEAR_H
#define KERNELS_CPU_LINEAR_H

#include "kernels/cpu/cpu.h"

enum { LINEAR_FEW = 4 };

/* As the table's entries; act is not ACT_SIGMOID. */
void CPU(linear_few_forward)(struct pool *pool, float *out, const float *inp, const float *weight,
                             const float *bias, int n, int c, int k, enum act act);
void CPU(linear_few_backward_data)(struct pool *pool, float *dinp, const float *dout,
                                   const float *weight, int n, int c, int k, int add);

#endif
