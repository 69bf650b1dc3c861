/*
 * The CUDA device's own struct, for its kernels and for device_cuda.c. C and C++; the runtime's C
 * interface alone.
 */
#ifndef KERNELS_CUDA_DEVICE_CUDA_H
#define KERNELS_CUDA_DEVICE_CUDA_H

#include <cuda_runtime_api.h>

#include "kernels/device.h"

enum { CUDA_SCRATCH = 64 << 10 };

struct device_cuda {
    struct device dev; /* first */
    int ordinal;
    cudaStream_t stream; /* the one queue of this device's work */
    int integrated;      /* GPU and CPU share their memory (Jetson) */
    int sm_count;
    void *scratch; /* CUDA_SCRATCH bytes of GPU memory, from one kernel of an entry to its next */
    cudaError_t error;  /* the first error of anything queued, sticky; cudaSuccess */
    const char *failed; /* the call that reported it */
};

static inline struct device_cuda *cuda_of(struct device *d)
{
    return (struct device_cuda *)d;
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

#endif
