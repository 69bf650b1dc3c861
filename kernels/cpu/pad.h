/*
 * Images with a border of zeros, so that the windows of a convolution are read in place without
 * asking where the edge is. Where no window leaves the image, the image itself is used and nothing
 * is copied.
 */
#ifndef KERNELS_CPU_PAD_H
#define KERNELS_CPU_PAD_H

#include "kernels/cpu/cpu.h"

struct padded {
    int n, c, h, w; /* the image as it is */
    int top, left;  /* zeros before it */
    int ph, pw;     /* size that the windows reach: rows and columns beyond it are cut off */
    int in_place;
    ptrdiff_t image, plane, row; /* strides of the padded one */
};

struct padded CPU(pad_plan)(int n, int c, int h, int w, int top, int left, int ph, int pw);

/* Bytes of the copy; 0 where there is none. A multiple of 64. */
size_t CPU(pad_bytes)(const struct padded *p);

/* Copies src into work where p needs it; returns where the padded image lies. */
const float *CPU(pad_run)(struct pool *pool, const struct padded *p, const float *src, void *work);

#endif
