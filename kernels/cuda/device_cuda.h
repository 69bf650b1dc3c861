/*
 * The CUDA device's own struct, for its kernels and for what makes up the device: device_cuda.c,
 * lanes.c, copies.c, recordings.c. C and C++; the runtime's C interface alone.
 */
#ifndef KERNELS_CUDA_DEVICE_CUDA_H
#define KERNELS_CUDA_DEVICE_CUDA_H

#include <cuda_runtime_api.h>

#include "kernels/device.h"

enum {
    CUDA_SCRATCH = 64 << 10,
    CUDA_LANES = 5, /* the first, and four that run beside it */
};

struct cudnn; /* cudnn_plan.h */

/* What is one queue's own. */
struct cuda_lane {
    cudaStream_t stream;
    cudaStream_t down; /* copies from its results, on a GPU with memory of its own */
    void *scratch; /* CUDA_SCRATCH bytes of GPU memory, from one kernel of an entry to its next */
};

struct device_cuda {
    struct device dev; /* first */
    struct device_ops ops;
    int ordinal;
    cudaStream_t stream;   /* of the lane that work is queued in now */
    struct cuda_lane *now; /* that lane */
    struct cuda_lane lane[CUDA_LANES];
    int nlane;
    cudaStream_t up;  /* copies to the GPU, on one with memory of its own */
    cudaEvent_t mark; /* makes one stream wait for another; used at once */
    int integrated;   /* GPU and CPU share their memory (Jetson) */
    int pins;         /* pages can be pinned in place; 0 as soon as one could not */
    int sm_count;
    enum math math;      /* of products */
    cudaError_t error;   /* the first error of anything queued, sticky; cudaSuccess */
    const char *failed;  /* the call that reported it */
    struct cudnn *cudnn; /* the second way; NULL: all goes through our own kernels */
};

static inline struct device_cuda *cuda_of(struct device *d)
{
    return (struct device_cuda *)d;
}

/* What a thread that calls CUDA for this device must say first; cheap when it said so before. */
static inline void cuda_use(const struct device_cuda *c)
{
    cudaSetDevice(c->ordinal);
}

/* Keeps the first error, which device_sync returns; `call` is a literal, for its sentence. */
static inline void cuda_note(struct device *d, cudaError_t error, const char *call)
{
    struct device_cuda *c = cuda_of(d);
    if (error != cudaSuccess && c->error == cudaSuccess) {
        c->error = error;
        c->failed = call;
    }
}

#ifdef __cplusplus
extern "C" {
#endif

/* -ENOMEM or -EIO and a sentence: what `call` said. */
int cuda_failed(cudaError_t error, const char *call);

/* Pins host pages in place, for the GPU that this thread uses; cudaHostUnregister undoes it. */
int cuda_register(int ordinal, void *p, size_t bytes);

/* What is queued on `later` from now on comes after what is queued on `before` now. */
void cuda_order(struct device_cuda *c, cudaStream_t before, cudaStream_t later);

/* Adds the entries of lanes.c, with one lane. */
int cuda_lanes_open(struct device_cuda *c);
void cuda_lanes_close(struct device_cuda *c);

/* Waits for all lanes and their copies. */
void cuda_lanes_wait(struct device_cuda *c);

/* Adds the entries of copies.c (upload, download where the GPU has memory of its own, fences) and
 * of recordings.c to c->ops. */
int cuda_copies_open(struct device_cuda *c);
void cuda_copies_close(struct device_cuda *c);
void cuda_recordings_open(struct device_cuda *c);

#ifdef __cplusplus
}
#endif

#endif
