/*
 * 3 x 3 convolutions of stride 1 by Winograd's F(4x4, 3x3) or F(2x2, 3x3): 4 or 2.25 times fewer
 * multiplications than the plain sum, at the price of transforms and of an error some ten times
 * larger (still 1e-6 of the result or so). conv2d.c asks for a plan and takes the plain way where
 * there is none.
 *
 * Images are first copied channel-last, so that all transforms work on vectors of channels. Then,
 * for some tiles at a time: transform the inputs, one matrix product for each of the (m + 2)^2
 * places of a tile, transform back.
 */
#ifndef KERNELS_CPU_WINOGRAD_H
#define KERNELS_CPU_WINOGRAD_H

#include "kernels/cpu/gemm.h"

struct winograd {
    int m, a;                 /* outputs and inputs of a tile, one dimension: 4, 6 or 2, 4 */
    int n, c, k;              /* images, channels in, channels out */
    int h, w, top, left;      /* the image that is read, zeros before it */
    int oh, ow;               /* the image that comes out */
    int th, tw, tiles, step;  /* tiles of an image, of all, and taken together */
    int cp, kp;               /* channels rounded up to vectors */
    ptrdiff_t v_row, v_place; /* strides of a tile and of a place in transformed inputs */
    ptrdiff_t m_row, m_place; /* and in products */
};

/* Of a convolution's forward pass; returns 0 where the plain way is better. */
int CPU(winograd_plan)(struct winograd *w, const struct conv2d_dims *s);
/* Of its backward data: the same over dout, mirrored. */
int CPU(winograd_plan_transposed)(struct winograd *w, const struct conv2d_dims *s);

/* out = or += act(the convolution + bias). weights: row (channel in, 3, 3), column channel out. */
void CPU(winograd_apply)(struct pool *pool, const struct winograd *w, float *out, const float *inp,
                         const struct matrix *weights, const float *bias, enum act act, int add,
                         void *work);
size_t CPU(winograd_bytes)(const struct winograd *w);

/* dweight (k, c, 3, 3) += scale * gradient; w is the forward pass's plan. */
void CPU(winograd_weights)(struct pool *pool, const struct winograd *w, float *dweight,
                           const float *dout, const float *inp, float scale, void *work);
size_t CPU(winograd_weights_bytes)(const struct winograd *w);

/* Shared by the two passes. Copies (n, channels, h, w) to (n, ih, iw, channels rounded up) with
 * zeros around: the image starts at (top, left). */
struct channel_last {
    float *dst;
    const float *src;
    int n, channels, h, w, top, left, ih, iw;
};
void CPU(winograd_channel_last)(struct pool *pool, const struct channel_last *c);

/* Transformed inputs of tiles t0 .. t0 + count - 1: v[place][tile][channel]. */
void CPU(winograd_inputs)(struct pool *pool, const struct winograd *w, float *v, const float *image,
                          int t0, int count);

static inline size_t winograd_image_floats(const struct winograd *w)
{
    return (size_t)w->n * (size_t)(w->th * w->m + 2) * (size_t)(w->tw * w->m + 2) * (size_t)w->cp;
}

/* Where tile t starts. */
static inline void winograd_tile(const struct winograd *w, int t, int *image, int *y, int *x)
{
    *image = t / (w->th * w->tw);
    *y = t / w->tw % w->th * w->m;
    *x = t % w->tw * w->m;
}

/* A stride of at least `floats`, an odd number of lines: places fall into different sets. */
static inline ptrdiff_t winograd_stride(ptrdiff_t floats)
{
    return ((floats + 15) / 16 | 1) * 16;
}

#endif
