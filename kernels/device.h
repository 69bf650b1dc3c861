/*
 * A device is an ordered queue of work and the memory it works on. The CPU device runs every call
 * at once on its worker threads; a CUDA device queues it, and may have more queues beside the
 * first. Calls marked (queued) may return early.
 *
 *     struct device *dev;
 *     if (device_cpu_open(&dev, 0, "auto") < 0) ...
 *     dev->kernels->gemm(dev, ...);
 *     device_sync(dev);
 *     device_close(dev);
 *
 * Host and device memory may be one (CPU), or of one kind (a GPU that shares it), or apart. Who
 * uses a device cannot tell but by the optional entries of device_ops.
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
struct fence;     /* a point in the queue that can be waited for */
struct recording; /* work that was recorded, to be queued again */

struct device_ops {
    const char *name;
    void (*close)(struct device *d);
    /* zeroed device memory; -ENOMEM and a sentence */
    int (*alloc)(struct device *d, void **p, size_t bytes);
    void (*free)(struct device *d, void *p, size_t bytes);
    int (*pin)(struct device *d, void *p, size_t bytes);    /* (optional) lock host pages for DMA */
    void (*unpin)(struct device *d, void *p, size_t bytes); /* (optional) */
    /* where pin fails: zeroed memory that the driver pins, at a page's start. (both or none) */
    int (*pinned_alloc)(struct device *d, void **p, size_t bytes);
    void (*pinned_free)(struct device *d, void *p, size_t bytes);
    void (*copy)(struct device *d, void *dst, const void *src, size_t bytes); /* (queued) */
    void (*signal)(struct device *d, int eventfd); /* (queued) add 1 when all before it is done */
    int (*sync)(struct device *d); /* waits for all lanes; the first error of anything queued */

    /*
     * Lanes: queues that run beside each other, for work that does not depend on one another. Lane
     * 0 is the one that every device has. (all or none)
     * lanes: makes more of them, up to so many; how many there are then, or -errno and a sentence.
     * lane: the queue of everything that follows, here and in kernels.h, until the next call.
     * lane_after: what is queued in this lane from now on comes after what is in that one now.
     */
    int (*lanes)(struct device *d, int wanted);
    void (*lane)(struct device *d, int lane);
    void (*lane_after)(struct device *d, int before);

    /*
     * Copies between pinned and device memory, beside the queue: both run while it works on. (both
     * or none: NULL where kernels are to work on pinned memory itself)
     * upload: what is queued from now on comes after it; nothing queued before may use dst.
     * download: comes after what is queued now.
     */
    void (*upload)(struct device *d, void *dst, const void *pinned, size_t bytes);
    void (*download)(struct device *d, void *pinned, const void *src, size_t bytes);

    /*
     * Fences. (all or none: NULL where work is done when it is queued)
     * set: it passes when everything queued before, copies too, is done; nothing waits for it then.
     * look: 1 it has passed, 0 it has not; with `wait` not before it has; else the device's error.
     */
    int (*fence_open)(struct device *d, struct fence **f); /* -errno and a sentence */
    void (*fence_close)(struct device *d, struct fence *f);
    void (*fence_set)(struct device *d, struct fence *f);
    int (*fence_look)(struct device *d, struct fence *f, int wait);

    /*
     * Recordings. (all or none: NULL where queueing costs nothing)
     * What is queued between record and recorded is kept and not run; replay queues it, with the
     * addresses and numbers that it had. An error of recorded is the queue's, and it gives NULL.
     */
    void (*record)(struct device *d);
    struct recording *(*recorded)(struct device *d);
    void (*replay)(struct device *d, struct recording *r);         /* (queued) NULL: nothing */
    void (*recording_free)(struct device *d, struct recording *r); /* NULL is fine */
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

/* What it is. integrated: its memory is the CPU's; pins: host memory can be pinned in place, which
 * is tried with a page; else the driver gives pinned memory of its own. */
struct gpu_info {
    char name[256];
    int major, minor, sm_count, integrated, pins;
    size_t bytes;
};
int device_cuda_info(int ordinal, struct gpu_info *info);

/* 1000 * major + 10 * minor of the CUDA that the driver knows and that this program was built with;
 * 0: none. */
void device_cuda_versions(int *driver, int *runtime);

/*
 * How a GPU multiplies in its products: in float, or by tensor cores, which take their operands
 * rounded to TF32 (8 bits of exponent, 10 of mantissa) or to half (5, 10), and sum in float.
 */
enum math { MATH_FP32, MATH_TF32, MATH_FP16, MATH_COUNT };

static inline const char *math_name(enum math math)
{
    static const char *const names[MATH_COUNT] = {"fp32", "tf32", "fp16"};
    return names[math];
}

/* From now on this GPU multiplies so; before the first work area is asked for. -ENOTSUP and a
 * sentence where the GPU or this program cannot. */
int device_cuda_use_math(struct device *d, enum math math);

/* The cuDNN that this program can use, as "9.19.0": 0, or -ENOTSUP and a sentence. */
enum { CUDNN_VERSION_BYTES = 64 };
int device_cuda_cudnn(char version[CUDNN_VERSION_BYTES]);

/*
 * Which of two ways is the faster, kept from run to run. find: of what `key` names 0 the first, 1
 * the second, -1 not known: then keep follows, and until it does nobody else measures. ms: what was
 * measured of each; negative: nothing was.
 */
struct choice_book {
    int (*find)(struct choice_book *b, const char *key);
    void (*keep)(struct choice_book *b, const char *key, int second, const double ms[2]);
};

/*
 * From what is planned next on this GPU has a second way, cuDNN, for shapes where the book says so,
 * measured where it says nothing; without a book for all that cuDNN can do. The book must outlive
 * the device. -ENOTSUP and a sentence without cuDNN.
 */
int device_cuda_use_cudnn(struct device *d, struct choice_book *book);

/* How many shapes were planned which way, each direction by itself. */
enum gpu_work { GPU_CONVOLUTIONS, GPU_POOLS, GPU_BATCHNORMS, GPU_WORK_COUNT };
struct gpu_choices {
    int own, cudnn;
};
void device_cuda_choices(const struct device *d, struct gpu_choices chosen[GPU_WORK_COUNT]);

static inline int device_sync(struct device *d)
{
    return d->ops->sync(d);
}

/* f as fence_open gave it, or NULL where the device has none: it has always passed. */
static inline int device_look(struct device *d, struct fence *f, int wait)
{
    return f ? d->ops->fence_look(d, f, wait) : 1;
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
