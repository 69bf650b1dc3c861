/*
 * Winograd's minimal filtering F(m x m, 3 x 3), m = 2 or 4: the matrices of Lavin and Gray, "Fast
 * algorithms for convolutional neural networks" (CVPR 2016), one dimension at a time, on vectors
 * whose lanes are channels. With A, B, G as in the paper, a tile of m + 2 inputs d, 3 weights g, m
 * outputs y:
 *
 *     y = A^T ((G g) * (B^T d)), and for gradients dg = G^T ((A dy) * (B^T d))
 */
#ifndef KERNELS_CPU_WINOGRAD_MATH_H
#define KERNELS_CPU_WINOGRAD_MATH_H

#include "kernels/cpu/vector.h"

enum { WINOGRAD_MAX = 6 }; /* inputs of a tile, one dimension */

#define WINOGRAD_INLINE static inline __attribute__((always_inline))

static inline vf vf_times(float a, vf x)
{
    return vf_all(a) * x;
}

/* o = B^T d */
WINOGRAD_INLINE void winograd_input(const int m, const vf *d, vf *o)
{
    if (m == 2) {
        o[0] = d[0] - d[2];
        o[1] = d[1] + d[2];
        o[2] = d[2] - d[1];
        o[3] = d[1] - d[3];
        return;
    }
    vf even = d[4] - vf_times(4, d[2]), odd = d[3] - vf_times(4, d[1]);
    vf even2 = d[4] - d[2], odd2 = vf_times(2, d[3] - d[1]);
    o[0] = vf_times(4, d[0]) - vf_times(5, d[2]) + d[4];
    o[1] = even + odd;
    o[2] = even - odd;
    o[3] = even2 + odd2;
    o[4] = even2 - odd2;
    o[5] = vf_times(4, d[1]) - vf_times(5, d[3]) + d[5];
}

/* o = G g */
WINOGRAD_INLINE void winograd_weights(const int m, const vf *g, vf *o)
{
    if (m == 2) {
        vf even = vf_times(0.5f, g[0] + g[2]), odd = vf_times(0.5f, g[1]);
        o[0] = g[0];
        o[1] = even + odd;
        o[2] = even - odd;
        o[3] = g[2];
        return;
    }
    vf even = vf_times(-1.0f / 6, g[0] + g[2]), odd = vf_times(1.0f / 6, g[1]);
    vf even2 = vf_times(1.0f / 24, g[0]) + vf_times(1.0f / 6, g[2]);
    vf odd2 = vf_times(1.0f / 12, g[1]);
    o[0] = vf_times(0.25f, g[0]);
    o[1] = even - odd;
    o[2] = even + odd;
    o[3] = even2 + odd2;
    o[4] = even2 - odd2;
    o[5] = g[2];
}

/* o = A^T y */
WINOGRAD_INLINE void winograd_output(const int m, const vf *y, vf *o)
{
    if (m == 2) {
        o[0] = y[0] + y[1] + y[2];
        o[1] = y[1] - y[2] - y[3];
        return;
    }
    vf sum = y[1] + y[2], diff = y[1] - y[2], sum2 = y[3] + y[4], diff2 = y[3] - y[4];
    o[0] = y[0] + sum + sum2;
    o[1] = diff + vf_times(2, diff2);
    o[2] = sum + vf_times(4, sum2);
    o[3] = diff + vf_times(8, diff2) + y[5];
}

/* o = A dy, the transpose of winograd_output */
WINOGRAD_INLINE void winograd_output_gradient(const int m, const vf *y, vf *o)
{
    if (m == 2) {
        o[0] = y[0];
        o[1] = y[0] + y[1];
        o[2] = y[0] - y[1];
        o[3] = -y[1];
        return;
    }
    vf even = y[0] + y[2], odd = y[1] + y[3];
    vf even2 = y[0] + vf_times(4, y[2]), odd2 = vf_times(2, y[1]) + vf_times(8, y[3]);
    o[0] = y[0];
    o[1] = even + odd;
    o[2] = even - odd;
    o[3] = even2 + odd2;
    o[4] = even2 - odd2;
    o[5] = y[3];
}

/* o = G^T u, the transpose of winograd_weights */
WINOGRAD_INLINE void winograd_weight_gradient(const int m, const vf *u, vf *o)
{
    if (m == 2) {
        o[0] = u[0] + vf_times(0.5f, u[1] + u[2]);
        o[1] = vf_times(0.5f, u[1] - u[2]);
        o[2] = vf_times(0.5f, u[1] + u[2]) + u[3];
        return;
    }
    vf sum = vf_times(1.0f / 6, u[1] + u[2]), sum2 = u[3] + u[4];
    o[0] = vf_times(0.25f, u[0]) - sum + vf_times(1.0f / 24, sum2);
    o[1] = vf_times(1.0f / 6, u[2] - u[1]) + vf_times(1.0f / 12, u[3] - u[4]);
    o[2] = vf_times(1.0f / 6, sum2) - sum + u[5];
}

/*
 * A transform in both dimensions: x (from, from), row-major, becomes o (to, to). `one` is one of
 * the above; from, to and m are constants where this is called.
 */
#define WINOGRAD_BOTH(one, m, from, to, x, o)                                                   \
    do {                                                                                        \
        vf half_[WINOGRAD_MAX * WINOGRAD_MAX];                                                  \
        _Pragma("GCC unroll 6") for (int c_ = 0; c_ < (from); c_++)                             \
        {                                                                                       \
            vf in_[WINOGRAD_MAX], out_[WINOGRAD_MAX];                                           \
            _Pragma("GCC unroll 6") for (int r_ = 0; r_ < (from); r_++) in_[r_] =               \
                (x)[r_ * (from) + c_];                                                          \
            one(m, in_, out_);                                                                  \
            _Pragma("GCC unroll 6") for (int r_ = 0; r_ < (to); r_++) half_[r_ * (from) + c_] = \
                out_[r_];                                                                       \
        }                                                                                       \
        _Pragma("GCC unroll 6") for (int r_ = 0; r_ < (to); r_++)                               \
            one(m, half_ + r_ * (from), (o) + r_ * (to));                                       \
    } while (0)

#endif
