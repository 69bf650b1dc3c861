/*
 * The convolution's three products, with what the transposed convolution, which is the same three
 * with the roles of input and output swapped, needs besides. Dimensions and work as in kernels.h.
 */
#ifndef KERNELS_CPU_CONV2D_H
#define KERNELS_CPU_CONV2D_H

#include "kernels/cpu/cpu.h"

/* The same convolution from its output to its input; padding stays. */
static inline struct conv2d_dims conv2d_swapped(const struct conv2d_dims *s)
{
    struct conv2d_dims t = *s;
    t.c = s->k;
    t.h = s->oh;
    t.w = s->ow;
    t.k = s->c;
    t.oh = s->h;
    t.ow = s->w;
    return t;
}

void CPU(conv2d_apply)(struct device *d, float *out, const float *inp, const float *weight,
                       const float *bias, const struct conv2d_dims *s, enum act act, int add,
                       void *work);
void CPU(conv2d_apply_transposed)(struct device *d, float *dinp, const float *dout,
                                  const float *weight, const float *bias,
                                  const struct conv2d_dims *s, enum act act, int add, void *work);

/* dbias (c) += scale * the sum of dout (n, c, hw) over all but c. */
void CPU(conv2d_bias)(struct device *d, float *dbias, const float *dout, int n, int c, int hw,
                      float scale);

#endif
