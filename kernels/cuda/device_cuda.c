/*
 * The CUDA device: device memory, host memory pinned in place or by the driver, and the first error
 * of anything queued, kept for device_sync. Its queues are lanes.c. Plain C on the runtime's C
 * interface. no_cuda.c stands here in a build without CUDA.
 */
#include "kernels/cuda/device_cuda.h"
#include "kernels/cuda/cudnn_paths.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

extern const struct kernels kernels_cuda;

int cuda_failed(cudaError_t error, const char *call)
{
    int err = error == cudaErrorMemoryAllocation ? ENOMEM : EIO;
    return err_set(err, "%s: %s (CUDA error %d)", call, cudaGetErrorString(error), error);
}

static void cuda_close(struct device *d)
{
    struct device_cuda *c = cuda_of(d);
    cuda_use(c);
    cuda_copies_close(c);
    cudnn_close(d);
    cuda_lanes_close(c);
    free(c);
}

static int cuda_alloc(struct device *d, void **p, size_t bytes)
{
    struct device_cuda *c = cuda_of(d);
    *p = NULL;
    cuda_use(c);
    cudaError_t error = cudaMalloc(p, bytes);
    if (error != cudaSuccess) {
        size_t free_bytes = 0, total = 0;
        cudaMemGetInfo(&free_bytes, &total);
        *p = NULL;
        return err_set(error == cudaErrorMemoryAllocation ? ENOMEM : EIO,
                       "cannot get %.1f MiB of GPU memory, %.1f of %.1f MiB are free: %s",
                       (double)bytes / (1 << 20), (double)free_bytes / (1 << 20),
                       (double)total / (1 << 20), cudaGetErrorString(error));
    }
    cuda_note(d, cudaMemsetAsync(*p, 0, bytes, c->stream), "cudaMemsetAsync");
    /* an upload does not wait for the queue, and would be overwritten */
    cuda_note(d, cudaStreamSynchronize(c->stream), "cudaMemsetAsync");
    return 0;
}

static void cuda_free(struct device *d, void *p, size_t bytes)
{
    cuda_use(cuda_of(d));
    cuda_note(d, cudaFree(p), "cudaFree"); /* waits for what still uses it */
}

/* Mapped, so that kernels may read and write the pages where they are; portable, so that another
 * device of this process may too. */
int cuda_register(int ordinal, void *p, size_t bytes)
{
    cudaError_t error =
        cudaHostRegister(p, bytes, cudaHostRegisterPortable | cudaHostRegisterMapped);
    if (error != cudaSuccess) {
        cudaGetLastError();
        return cuda_failed(error, "cudaHostRegister");
    }
    void *seen = NULL;
    error = cudaHostGetDevicePointer(&seen, p, 0);
    if (error == cudaSuccess && seen == p)
        return 0;
    cudaHostUnregister(p);
    return error != cudaSuccess
               ? cuda_failed(error, "cudaHostGetDevicePointer")
               : err_set(ENOTSUP, "GPU %d sees pinned memory at other addresses than the CPU",
                         ordinal);
}

static int cuda_pin(struct device *d, void *p, size_t bytes)
{
    struct device_cuda *c = cuda_of(d);
    cuda_use(c);
    if (!c->pins)
        return err_set(ENOTSUP, "GPU %d does not pin memory in place", c->ordinal);
    int ret = cuda_register(c->ordinal, p, bytes);
    if (ret == 0)
        return 0;
    log_info("cuda", "Pinned memory is the driver's own from now on (cudaHostAlloc): %s",
             err_text());
    c->pins = 0;
    return ret;
}

static void cuda_unpin(struct device *d, void *p, size_t bytes)
{
    struct device_cuda *c = cuda_of(d);
    cuda_use(c);
    cuda_lanes_wait(c);
    cuda_note(d, cudaHostUnregister(p), "cudaHostUnregister");
}

/* At a page's start, as host_memory_map's: the driver packs small ones. What it gave stands in
 * front. Under unified addressing kernels see it where the CPU does. */
static int cuda_pinned_alloc(struct device *d, void **p, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *given = NULL;
    *p = NULL;
    cuda_use(cuda_of(d));
    cudaError_t error = cudaHostAlloc(&given, page + sizeof(given) + bytes,
                                      cudaHostAllocPortable | cudaHostAllocMapped);
    if (error != cudaSuccess) {
        cudaGetLastError();
        return cuda_failed(error, "cudaHostAlloc");
    }
    char *start = (char *)(((uintptr_t)given + sizeof(given) + page - 1) / page * page);
    memcpy(start - sizeof(given), &given, sizeof(given));
    *p = memset(start, 0, bytes);
    return 0;
}

static void cuda_pinned_free(struct device *d, void *p, size_t bytes)
{
    struct device_cuda *c = cuda_of(d);
    void *given;
    memcpy(&given, (char *)p - sizeof(given), sizeof(given));
    cuda_use(c);
    cuda_lanes_wait(c);
    cuda_note(d, cudaFreeHost(given), "cudaFreeHost");
}

static void cuda_copy(struct device *d, void *dst, const void *src, size_t bytes)
{
    struct device_cuda *c = cuda_of(d);
    cuda_use(c);
    cuda_note(d, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, c->stream), "cudaMemcpyAsync");
}

static void write_eventfd(void *arg)
{
    uint64_t one = 1;
    CHECK(write((int)(intptr_t)arg, &one, sizeof(one)) == sizeof(one));
}

static void cuda_signal(struct device *d, int eventfd)
{
    struct device_cuda *c = cuda_of(d);
    cuda_use(c);
    cuda_note(d, cudaLaunchHostFunc(c->stream, write_eventfd, (void *)(intptr_t)eventfd),
              "cudaLaunchHostFunc");
}

static int cuda_sync(struct device *d)
{
    struct device_cuda *c = cuda_of(d);
    cuda_use(c);
    cuda_lanes_wait(c);
    return c->error == cudaSuccess ? 0 : cuda_failed(c->error, c->failed);
}

static const struct device_ops cuda_ops = {
    .name = "cuda",
    .close = cuda_close,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .pin = cuda_pin,
    .unpin = cuda_unpin,
    .pinned_alloc = cuda_pinned_alloc,
    .pinned_free = cuda_pinned_free,
    .copy = cuda_copy,
    .signal = cuda_signal,
    .sync = cuda_sync,
};

static int no_device(cudaError_t error)
{
    int driver, runtime;
    device_cuda_versions(&driver, &runtime);
    if (driver == 0) /* so says the runtime where it finds no libcuda, or one that is broken */
        return err_set(ENODEV, "no NVIDIA driver on this machine: libcuda.so.1 is not there, or "
                               "cannot be loaded");
    if (error == cudaErrorInsufficientDriver)
        return err_set(ENODEV,
                       "the NVIDIA driver knows CUDA %d.%d, this program was built with %d.%d: "
                       "update the driver, or build with an older CUDA toolkit",
                       driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    if (error == cudaErrorNoDevice)
        return err_set(ENODEV, "the NVIDIA driver sees no GPU");
    return err_set(ENODEV, "the NVIDIA driver cannot be used: %s (CUDA error %d)",
                   cudaGetErrorString(error), error);
}

int device_cuda_count(int *count)
{
    *count = 0;
    cudaError_t error = cudaGetDeviceCount(count);
    if (error == cudaSuccess)
        return *count > 0 ? 0 : no_device(cudaErrorNoDevice);
    cudaGetLastError();
    *count = 0;
    return no_device(error);
}

int device_cuda_open(struct device **out, int ordinal)
{
    *out = NULL;
    int count, ret = device_cuda_count(&count);
    if (ret < 0)
        return ret;
    if (ordinal < 0 || ordinal >= count)
        return err_set(ENODEV, "GPU %d is wanted, there %s %d: take cuda:0%s", ordinal,
                       count == 1 ? "is" : "are", count, count == 1 ? "" : " or another of them");
    struct device_cuda *c = calloc(1, sizeof(*c));
    if (!c)
        return err_set(ENOMEM, "no memory for the CUDA device");
    c->ops = cuda_ops;
    c->dev.ops = &c->ops;
    c->dev.kernels = &kernels_cuda;
    c->ordinal = ordinal;

    const char *call = "cudaSetDevice";
    cudaError_t error = cudaSetDevice(ordinal);
    if (error == cudaSuccess) {
        call = "cudaDeviceGetAttribute";
        error = cudaDeviceGetAttribute(&c->integrated, cudaDevAttrIntegrated, ordinal);
    }
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&c->sm_count, cudaDevAttrMultiProcessorCount, ordinal);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&c->pins, cudaDevAttrHostRegisterSupported, ordinal);
    ret = error == cudaSuccess ? cuda_lanes_open(c) : cuda_failed(error, call);
    if (ret == 0)
        ret = cuda_copies_open(c);
    if (ret < 0) {
        cuda_close(&c->dev);
        return ret;
    }
    cuda_recordings_open(c);
    if (!c->pins)
        log_info("cuda",
                 "Pinned memory is the driver's own (cudaHostAlloc): GPU %d does not pin "
                 "memory in place",
                 ordinal);
    *out = &c->dev;
    return 0;
}
