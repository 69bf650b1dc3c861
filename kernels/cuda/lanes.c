/*
 * Lanes of the CUDA device: each a stream for kernels, one for copies from their results on a GPU
 * with memory of its own, and a scratch. Nothing orders two lanes but lane_after. Kernels and the
 * other files here queue in the lane that is now, and know of no other. SPARSE_CUDA_LANES=1 in the
 * environment goes without more, 2 to 5 with so many.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "kernels/cuda/cudnn_paths.h"

void cuda_order(struct device_cuda *c, cudaStream_t before, cudaStream_t later)
{
    cuda_note(&c->dev, cudaEventRecord(c->mark, before), "cudaEventRecord");
    cuda_note(&c->dev, cudaStreamWaitEvent(later, c->mark, 0), "cudaStreamWaitEvent");
}

static void close_lane(struct cuda_lane *l)
{
    cudaFree(l->scratch);
    if (l->down)
        cudaStreamDestroy(l->down);
    if (l->stream)
        cudaStreamDestroy(l->stream);
    *l = (struct cuda_lane){NULL, NULL, NULL};
}

static int open_lane(struct device_cuda *c, struct cuda_lane *l)
{
    const char *call = "cudaStreamCreateWithFlags";
    cudaError_t error = cudaStreamCreateWithFlags(&l->stream, cudaStreamNonBlocking);
    if (error == cudaSuccess && !c->integrated)
        error = cudaStreamCreateWithFlags(&l->down, cudaStreamNonBlocking);
    if (error == cudaSuccess) {
        call = "cudaMalloc";
        error = cudaMalloc(&l->scratch, CUDA_SCRATCH);
    }
    if (error == cudaSuccess)
        return 0;
    close_lane(l);
    return cuda_failed(error, call);
}

static int cuda_lanes(struct device *d, int wanted)
{
    struct device_cuda *c = cuda_of(d);
    const char *limit = getenv("SPARSE_CUDA_LANES");
    int most = limit && atoi(limit) > 0 && atoi(limit) < CUDA_LANES ? atoi(limit) : CUDA_LANES;
    cuda_use(c);
    for (; c->nlane < wanted && c->nlane < most; c->nlane++) {
        int ret = open_lane(c, &c->lane[c->nlane]);
        if (ret == 0 && (ret = cudnn_lane_open(d, c->nlane)) < 0)
            close_lane(&c->lane[c->nlane]);
        if (ret < 0)
            return ret;
    }
    return c->nlane;
}

static void cuda_lane(struct device *d, int lane)
{
    struct device_cuda *c = cuda_of(d);
    CHECK(lane >= 0 && lane < c->nlane);
    if (c->now == &c->lane[lane])
        return;
    c->now = &c->lane[lane];
    c->stream = c->now->stream;
    cudnn_lane(d);
}

static void cuda_lane_after(struct device *d, int before)
{
    struct device_cuda *c = cuda_of(d);
    CHECK(before >= 0 && before < c->nlane);
    cuda_use(c);
    if (c->lane[before].stream != c->stream)
        cuda_order(c, c->lane[before].stream, c->stream);
}

/* Copies to the device are waited for by the lane that wants them. */
void cuda_lanes_wait(struct device_cuda *c)
{
    for (int i = 0; i < c->nlane; i++) {
        cuda_note(&c->dev, cudaStreamSynchronize(c->lane[i].stream), "a kernel or copy");
        if (c->lane[i].down)
            cuda_note(&c->dev, cudaStreamSynchronize(c->lane[i].down), "a copy to the host");
    }
}

int cuda_lanes_open(struct device_cuda *c)
{
    c->ops.lanes = cuda_lanes;
    c->ops.lane = cuda_lane;
    c->ops.lane_after = cuda_lane_after;
    int ret = cuda_lanes(&c->dev, 1);
    cudaError_t error = cudaEventCreateWithFlags(&c->mark, cudaEventDisableTiming);
    if (ret < 0 || error != cudaSuccess)
        return ret < 0 ? ret : cuda_failed(error, "cudaEventCreateWithFlags");
    c->now = &c->lane[0];
    c->stream = c->now->stream;
    return 0;
}

void cuda_lanes_close(struct device_cuda *c)
{
    if (c->mark)
        cudaEventDestroy(c->mark);
    for (int i = 0; i < c->nlane; i++)
        close_lane(&c->lane[i]);
}
