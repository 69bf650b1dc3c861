/* What the reference's convolution and transposed convolution share: where the elements of their
 * images lie, and the gradient of the bias. */
#ifndef KERNELS_REF_CONV2D_H
#define KERNELS_REF_CONV2D_H

#include "kernels/kernels.h"

static inline size_t inp_at(const struct conv2d_dims *s, int i, int c, int y, int x)
{
    return (((size_t)i * s->c + c) * s->h + y) * s->w + x;
}

static inline size_t out_at(const struct conv2d_dims *s, int i, int k, int y, int x)
{
    return (((size_t)i * s->k + k) * s->oh + y) * s->ow + x;
}

/* dbias (k) += scale * the sum of dout over all images. */
static inline void bias_gradient(float *dbias, const float *dout, const struct conv2d_dims *s,
                                 float scale)
{
    for (int k = 0; k < s->k; k++) {
        double sum = 0;
        for (int i = 0; i < s->n; i++)
            for (int oy = 0; oy < s->oh; oy++)
                for (int ox = 0; ox < s->ow; ox++)
                    sum += dout[out_at(s, i, k, oy, ox)];
        dbias[k] = (float)(dbias[k] + scale * sum);
    }
}

#endif
