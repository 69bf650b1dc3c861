/*
 * The choice between our own kernel and cuDNN's: both run on this GPU, on arrays of the real sizes,
 * in turn, so that a clock that drifts does so for both. A time is the median of several samples, a
 * sample as many runs as make it longer than a clock's tick. Before the first step alone.
 */
#if __has_include(<cudnn.h>)

#include <stdlib.h>

#include "kernels/cuda/cudnn_plan.h"

enum {
    WARM_UP = 2, /* runs of each: code is loaded, clocks rise */
    SAMPLES = 7,
    RUNS_MOST = 50, /* a sample */
    PAGE = 256      /* where arrays begin, in bytes */
};
static const double sample_ms = 0.3;
static const double better = 0.97; /* of our own time; closer than that is noise, and stays ours */

struct trial {
    struct cudnn_plan *plan;
    cudaEvent_t start, end;
    char *memory;
    float *array[TRIAL_ARRAYS];
    void *work;
};

static size_t whole(size_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static int trial_open(struct device *d, struct trial *t, struct cudnn_plan *p)
{
    size_t count[TRIAL_ARRAYS] = {0}, floats = 0, work = 0;
    *t = (struct trial){.plan = p};
    p->code->floats(p, count);
    for (int i = 0; i < TRIAL_ARRAYS; i++)
        floats += whole(count[i] * sizeof(float)) / sizeof(float);
    if (p->code->work_bytes)
        work = p->code->work_bytes(d, p);
    void *memory = NULL;
    if (cudaEventCreateWithFlags(&t->start, cudaEventDefault) != cudaSuccess ||
        cudaEventCreateWithFlags(&t->end, cudaEventDefault) != cudaSuccess ||
        cudaMalloc(&memory, floats * sizeof(float) + work) != cudaSuccess) {
        cudaGetLastError();
        return 0;
    }
    t->memory = memory;
    float *at = memory;
    for (int i = 0; i < TRIAL_ARRAYS; i++) {
        t->array[i] = count[i] ? at : NULL;
        at += whole(count[i] * sizeof(float)) / sizeof(float);
    }
    t->work = at;
    d->kernels->fill(d, memory, floats, 0.5f);
    return 1;
}

static void trial_close(struct device *d, struct trial *t)
{
    if (t->memory)
        cuda_note(d, cudaFree(t->memory), "cudaFree");
    if (t->end)
        cudaEventDestroy(t->end);
    if (t->start)
        cudaEventDestroy(t->start);
}

/* Milliseconds of a run. */
static double sample(struct device *d, struct trial *t, int through, int runs)
{
    float ms = 0;
    t->plan->through = through;
    cuda_note(d, cudaEventRecord(t->start, cuda_of(d)->stream), "cudaEventRecord");
    for (int i = 0; i < runs; i++)
        t->plan->code->run(d, t->plan, t->array, t->work);
    cuda_note(d, cudaEventRecord(t->end, cuda_of(d)->stream), "cudaEventRecord");
    cuda_note(d, cudaEventSynchronize(t->end), "a kernel that is measured");
    cuda_note(d, cudaEventElapsedTime(&ms, t->start, t->end), "cudaEventElapsedTime");
    return (double)ms / runs;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(struct device *d, struct trial *t, double ms[2])
{
    double samples[2][SAMPLES];
    int runs[2];
    for (int through = 0; through < 2; through++) {
        sample(d, t, through, WARM_UP);
        double once = sample(d, t, through, 1);
        runs[through] = once * RUNS_MOST < sample_ms ? RUNS_MOST : 1 + (int)(sample_ms / once);
    }
    for (int i = 0; i < SAMPLES; i++)
        for (int through = 0; through < 2; through++)
            samples[through][i] = sample(d, t, through, runs[through]);
    for (int through = 0; through < 2; through++) {
        qsort(samples[through], SAMPLES, sizeof(samples[through][0]), compare);
        ms[through] = samples[through][SAMPLES / 2];
    }
}

int cudnn_measure(struct device *d, struct cudnn_plan *p, double ms[2])
{
    struct cudnn *c = cuda_of(d)->cudnn;
    struct trial t;
    ms[0] = ms[1] = -1;
    c->trying = 1;
    c->tries_failed = 0;
    if (trial_open(d, &t, p))
        measure(d, &t, ms);
    trial_close(d, &t);
    c->trying = 0;
    if (c->tries_failed || cuda_of(d)->error != cudaSuccess)
        ms[1] = -1;
    return ms[0] >= 0 && ms[1] >= 0 && ms[1] < better * ms[0];
}

#endif
