/*
 * A device is one ordered queue of work and the memory it works on. The CPU device runs every call
 * at once on its worker threads; a CUDA device queues it. Calls marked (queued) may return early.
 *
 *     struct device *dev;
 *     if (device_cpu_open(&dev, 0, "auto") < 0) ...
 *     dev->kernels->gemm(dev, ...);
 *     device_sync(dev);
 *     device_close(dev);
 */
#ifndef KERNELS_DEVICE_H
#define KERNELS_DEVICE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum place { PLACE_HOST, PLACE_PINNED, PLACE_DEVICE, PLACE_COUNT };

struct device;
struct kernels;

struct device_ops {
    const char *name;
    void (*close)(struct device *d);
    /* zeroed device memory; -ENOMEM and a sentence */
    int (*alloc)(struct device *d, void **p, size_t bytes);
    void (*free)(struct device *d, void *p, size_t bytes);
    int (*pin)(struct device *d, void *p, size_t bytes);    /* (optional) lock host pages for DMA */
    void (*unpin)(struct device *d, void *p, size_t bytes); /* (optional) */
    void (*copy)(struct device *d, void *dst, const void *src, size_t bytes); /* (queued) */
    void (*signal)(struct device *d, int eventfd); /* (queued) add 1 when all before it is done */
    int (*sync)(struct device *d);                 /* waits; the first error of anything queued */
};

/* Embedded first in a device's own struct. */
struct device {
    const struct device_ops *ops;
    const struct kernels *kernels; /* the arithmetic of this device, kernels.h */
};

/*
 * Opens the CPU device. threads: worker threads including the caller, 0 for one a core that this
 * process may run on. isa: "auto", "avx512", "avx2", "neon", "plain", or "reference" (plain loops,
 * for tests). An ISA that this CPU or build lacks is -ENOTSUP and a sentence.
 */
int device_cpu_open(struct device **out, int threads, const char *isa);

/* What the CPU device runs on, for logs and `doctor`. */
const char *device_cpu_isa(const struct device *d);
int device_cpu_threads(const struct device *d);

/* The names that device_cpu_open takes here, best first, NULL-terminated. */
const char *const *device_cpu_isas(void);

/*
 * Opens GPU `ordinal`, 0 .. count - 1. -ENODEV and a sentence that says why where there is none: no
 * driver, too old a driver, no GPU, a build without CUDA.
 */
int device_cuda_open(struct device **out, int ordinal);
int device_cuda_count(int *count); /* 0, or -ENODEV, the same sentence, and a count of 0 */

static inline int device_sync(struct device *d)
{
    return d->ops->sync(d);
}

static inline void device_close(struct device *d)
{
    if (d)
        d->ops->close(d);
}

#ifdef __cplusplus
}
#endif
#endif
