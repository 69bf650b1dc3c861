/*
 * Copies beside the CUDA device's lanes, and fences. A GPU with memory of its own has a stream for
 * copies to it, each of which holds up only what its lane queues after it, and a stream a lane for
 * copies from it, which wait only for what the lane had queued before. A GPU that shares the CPU's
 * memory has fences alone.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "kernels/cuda/device_cuda.h"

struct fence {
    cudaEvent_t event;
};

static void cuda_upload(struct device *d, void *dst, const void *pinned, size_t bytes)
{
    struct device_cuda *c = cuda_of(d);
    cuda_use(c);
    cuda_note(d, cudaMemcpyAsync(dst, pinned, bytes, cudaMemcpyHostToDevice, c->up),
              "cudaMemcpyAsync");
    cuda_order(c, c->up, c->stream);
}

static void cuda_download(struct device *d, void *pinned, const void *src, size_t bytes)
{
    struct device_cuda *c = cuda_of(d);
    cuda_use(c);
    cuda_order(c, c->stream, c->now->down);
    cuda_note(d, cudaMemcpyAsync(pinned, src, bytes, cudaMemcpyDeviceToHost, c->now->down),
              "cudaMemcpyAsync");
}

static int cuda_fence_open(struct device *d, struct fence **out)
{
    cuda_use(cuda_of(d));
    struct fence *f = *out = calloc(1, sizeof(*f));
    if (!f)
        return err_set(ENOMEM, "no memory for a fence");
    cudaError_t error = cudaEventCreateWithFlags(&f->event, cudaEventDisableTiming);
    if (error == cudaSuccess)
        return 0;
    free(f);
    *out = NULL;
    return cuda_failed(error, "cudaEventCreateWithFlags");
}

static void cuda_fence_close(struct device *d, struct fence *f)
{
    if (!f)
        return;
    cuda_use(cuda_of(d));
    cuda_note(d, cudaEventDestroy(f->event), "cudaEventDestroy");
    free(f);
}

/* On the lane's stream of copies to the host, which waits for the lane: so it stands behind both.
 * Copies to the device are waited for by the lane. */
static void cuda_fence_set(struct device *d, struct fence *f)
{
    struct device_cuda *c = cuda_of(d);
    cuda_use(c);
    cudaStream_t last = c->now->down ? c->now->down : c->stream;
    if (last != c->stream)
        cuda_order(c, c->stream, last);
    cuda_note(d, cudaEventRecord(f->event, last), "cudaEventRecord");
}

static int cuda_fence_look(struct device *d, struct fence *f, int wait)
{
    struct device_cuda *c = cuda_of(d);
    cuda_use(c);
    cudaError_t error = wait ? cudaEventSynchronize(f->event) : cudaEventQuery(f->event);
    if (error != cudaErrorNotReady)
        cuda_note(d, error, "a kernel or copy");
    if (c->error != cudaSuccess)
        return cuda_failed(c->error, c->failed);
    return error == cudaSuccess;
}

int cuda_copies_open(struct device_cuda *c)
{
    c->ops.fence_open = cuda_fence_open;
    c->ops.fence_close = cuda_fence_close;
    c->ops.fence_set = cuda_fence_set;
    c->ops.fence_look = cuda_fence_look;
    if (c->integrated)
        return 0;
    c->ops.upload = cuda_upload;
    c->ops.download = cuda_download;
    cudaError_t error = cudaStreamCreateWithFlags(&c->up, cudaStreamNonBlocking);
    return error == cudaSuccess ? 0 : cuda_failed(error, "cudaStreamCreateWithFlags");
}

void cuda_copies_close(struct device_cuda *c)
{
    if (c->up)
        cudaStreamDestroy(c->up);
}
