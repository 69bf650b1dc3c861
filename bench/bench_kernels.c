/*
 * The kernels that only move memory, at the sizes of VGG11 at batch 64 (and YOLOv3's where VGG has
 * none). Beside each its ceiling: the same bytes read and written by the same threads with nothing
 * to compute. "ratio" is the ceiling's best time over the kernel's. Options: see kernel_bench.h.
 */
#include <math.h>

#include "bench/kernel_bench.h"
#include "bench/kernel_cases.h"

enum { MOVE_BLOCK = 32768 };

struct move {
    struct device *dev;
    float *dst;
    const float *src;
    size_t read, write; /* floats */
    float sum;
};

static float read_all(const float *x, size_t n)
{
    float sum[32] = {0};
    for (size_t i = 0; i + 32 <= n; i += 32)
        for (int k = 0; k < 32; k++)
            sum[k] += x[i + (size_t)k];
    for (int k = 1; k < 32; k++)
        sum[0] += sum[k];
    return sum[0];
}

static void move_job(void *arg, int job, int worker)
{
    struct move *m = arg;
    size_t most = m->read > m->write ? m->read : m->write;
    size_t jobs = (most + MOVE_BLOCK - 1) / MOVE_BLOCK, j = (size_t)job;
    size_t r0 = m->read * j / jobs, r1 = m->read * (j + 1) / jobs;
    size_t w0 = m->write * j / jobs, w1 = m->write * (j + 1) / jobs;
    size_t both = r1 - r0 < w1 - w0 ? r1 - r0 : w1 - w0;
    memcpy(m->dst + w0, m->src + r0, both * sizeof(float));
    if (w1 - w0 > both)
        memset(m->dst + w0 + both, 0, (w1 - w0 - both) * sizeof(float));
    else if (read_all(m->src + r0 + both, r1 - r0 - both) > 1e30f)
        m->sum = 1; /* never: keeps the reading */
}

static void run_move(void *arg)
{
    struct move *m = arg;
    size_t most = m->read > m->write ? m->read : m->write;
    pool_run(cpu_pool(m->dev), (int)((most + MOVE_BLOCK - 1) / MOVE_BLOCK), move_job, m);
}

/* The best and the median of as many runs as fit into the time. */
static void time_runs(const struct kernel_bench *b, void (*run)(void *arg), void *arg, double *best,
                      double *median)
{
    double times[KERNEL_BENCH_RUNS];
    int n = 0;
    run(arg);
    uint64_t start = clock_now_ns();
    while (n < 5 || (n < KERNEL_BENCH_RUNS && clock_seconds_since(start) < b->seconds / 2)) {
        double one = kernel_bench_now(b);
        run(arg);
        times[n++] = kernel_bench_now(b) - one;
    }
    qsort(times, (size_t)n, sizeof(*times), kernel_bench_order);
    *best = times[0];
    *median = times[n / 2];
}

static void bench_case(struct kernel_bench *b, struct arrays *a, const struct kernel_case *c)
{
    if (!kernel_bench_wants(b, c->name))
        return;
    struct move m = {a->dev, a->y, a->x, c->read, c->write, 0};
    double best, median, floor_best, floor_median;
    time_runs(b, run_move, &m, &floor_best, &floor_median);
    time_runs(b, c->run, a, &best, &median);
    double bytes = 4.0 * (double)(c->read + c->write);
    printf("{\"bench\":\"%s\",\"isa\":\"%s\",\"threads\":%d,\"ms\":%.4g,\"best_ms\":%.4g,"
           "\"gbps\":%.4g,\"ceiling_gbps\":%.4g,\"ratio\":%.3f}\n",
           c->name, a->dev->kernels->name, device_cpu_threads(a->dev), 1e3 * median, 1e3 * best,
           1e-9 * bytes / best, 1e-9 * bytes / floor_best, floor_best / best);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct kernel_bench b;
    kernel_bench_open(&b, argc, argv);
    struct buffer x = kernel_bench_floats(&b, 4 * ALL), y = kernel_bench_floats(&b, ALL);
    struct buffer z = kernel_bench_floats(&b, ALL), arg = kernel_bench_bytes(&b, ALL);
    struct buffer small = kernel_bench_floats(&b, SMALL);
    struct arrays a = {b.dev, x.base, y.base, z.base, arg.base, small.base};
    for (size_t i = 0; i < SMALL; i++) /* variances among them */
        a.small[i] = fabsf(a.small[i]) + 0.5f;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].run == xent)
            memset(a.arg, 0, ALL); /* the labels */
        bench_case(&b, &a, &cases[i]);
    }
    struct buffer *all[] = {&x, &y, &z, &arg, &small};
    for (size_t i = 0; i < 5; i++)
        buffer_close(all[i]);
    device_close(b.dev);
    return 0;
}
