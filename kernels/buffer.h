/*
 * A run of bytes with one owner. Tensors lie in it and are never freed themselves. PLACE_PINNED is
 * anonymous mmap, 2 MiB aligned, plus ops->pin, so that a GPU and an io_uring can hold the same
 * pages; where they cannot be pinned, ops->pinned_alloc, pages that a GPU and plain sends and
 * receives share. On the CPU device all places are such host memory (huge pages where the kernel
 * gives them).
 */
#ifndef KERNELS_BUFFER_H
#define KERNELS_BUFFER_H

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

struct buffer {
    struct device *dev;
    enum place place;
    int drivers; /* its pages are of ops->pinned_alloc */
    void *base;
    size_t bytes;
};

/* Zeroed memory. bytes 0 is allowed and owns nothing. -ENOMEM and a sentence that names `what`. */
int buffer_open(struct buffer *b, struct device *dev, enum place place, size_t bytes,
                const char *what);

/* Frees; harmless on a zeroed or already closed buffer. */
void buffer_close(struct buffer *b);

#ifdef __cplusplus
}
#endif
#endif
