/*
 * Kernels over images (n, c, h, w) count in 32 bits, which divides several times faster than 64. A
 * launch takes as many images as that allows, which is all of them but for arrays of 8 GiB.
 *
 *     for (struct images i = images_first(n * c, plane); i.count; i = images_next(i))
 *         LAUNCH_EACH(d, kernel, i.count * plane, out + i.first * plane, ...);
 */
#ifndef KERNELS_CUDA_IMAGES_H
#define KERNELS_CUDA_IMAGES_H

#include <stddef.h>

#include "base/err.h"
#include "kernels/cuda/divide.h"

struct images {
    size_t first, count, all, most;
};

static inline struct images images_next(struct images i)
{
    i.first += i.count;
    i.count = i.all - i.first < i.most ? i.all - i.first : i.most;
    return i;
}

/* plane: elements of the larger of an image's input and output. */
static inline struct images images_first(size_t all, size_t plane)
{
    CHECK(plane <= DIVIDE_MOST);
    struct images i = {0, 0, all, plane ? DIVIDE_MOST / plane : all};
    return images_next(i);
}

#endif
