/*
 * Recordings of the CUDA device: CUDA graphs. A launch from the CPU costs microseconds, more on a
 * Jetson's cores, and a small layer computes no longer than that; a graph is one launch.
 * SPARSE_CUDA_GRAPHS=0 in the environment goes without.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/device_cuda.h"

/* A struct recording is nothing but the graph's handle. */
static cudaGraphExec_t graph_of(struct recording *r)
{
    return (cudaGraphExec_t)(void *)r;
}

static void cuda_record(struct device *d)
{
    struct device_cuda *c = cuda_of(d);
    cuda_use(c);
    cuda_note(d, cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeThreadLocal),
              "cudaStreamBeginCapture");
}

static struct recording *cuda_recorded(struct device *d)
{
    struct device_cuda *c = cuda_of(d);
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    cuda_use(c);
    cudaError_t error = cudaStreamEndCapture(c->stream, &graph);
    cuda_note(d, error, "cudaStreamEndCapture");
    if (error == cudaSuccess) {
        /* cudaGraphInstantiate has other arguments in CUDA 12 than in 11; this one is in both */
        error = cudaGraphInstantiateWithFlags(&exec, graph, 0);
        cuda_note(d, error, "cudaGraphInstantiateWithFlags");
    }
    if (graph)
        cudaGraphDestroy(graph);
    return error == cudaSuccess ? (struct recording *)(void *)exec : NULL;
}

static void cuda_replay(struct device *d, struct recording *r)
{
    struct device_cuda *c = cuda_of(d);
    cuda_use(c);
    if (r)
        cuda_note(d, cudaGraphLaunch(graph_of(r), c->stream), "cudaGraphLaunch");
}

static void cuda_recording_free(struct device *d, struct recording *r)
{
    cuda_use(cuda_of(d));
    if (r)
        cuda_note(d, cudaGraphExecDestroy(graph_of(r)), "cudaGraphExecDestroy");
}

void cuda_recordings_open(struct device_cuda *c)
{
    const char *wanted = getenv("SPARSE_CUDA_GRAPHS");
    if (wanted && !strcmp(wanted, "0"))
        return;
    c->ops.record = cuda_record;
    c->ops.recorded = cuda_recorded;
    c->ops.replay = cuda_replay;
    c->ops.recording_free = cuda_recording_free;
}
