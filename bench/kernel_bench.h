/*
 * What the benches of single kernels share: options, arrays, and one JSON line a measurement. The
 * ceiling is measured again beside each line, since clocks and neighbours change; "ratio" compares
 * the best run with the best ceiling, "gflops" is the median run.
 *
 *     bench_gemm [--isa auto] [--threads 0] [--seconds 0.5] [--only TEXT] [--cpu-time]
 *
 * --cpu-time counts the process's CPU time, divided by its threads, instead of the time that
 * passes: on a machine that is shared with others the only figure that can be compared.
 */
#ifndef BENCH_KERNEL_BENCH_H
#define BENCH_KERNEL_BENCH_H

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/rng.h"
#include "bench/fma_peak.h"
#include "kernels/buffer.h"
#include "kernels/cpu/cpu.h"

enum { KERNEL_BENCH_RUNS = 2000 };

struct kernel_bench {
    struct device *dev;
    double seconds;
    const char *only; /* NULL, or what a bench's name must contain */
    int cpu_time;
};

static inline void kernel_bench_open(struct kernel_bench *b, int argc, char **argv)
{
    static const struct option options[] = {
        {"isa", required_argument, NULL, 'i'},     {"threads", required_argument, NULL, 't'},
        {"seconds", required_argument, NULL, 's'}, {"only", required_argument, NULL, 'o'},
        {"cpu-time", no_argument, NULL, 'c'},      {NULL, 0, NULL, 0}};
    const char *isa = "auto";
    int threads = 0, c;
    *b = (struct kernel_bench){.seconds = 0.5};
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'i')
            isa = optarg;
        else if (c == 't')
            threads = atoi(optarg);
        else if (c == 's')
            b->seconds = atof(optarg);
        else if (c == 'o')
            b->only = optarg;
        else if (c == 'c')
            b->cpu_time = 1;
        else
            exit(2);
    }
    if (device_cpu_open(&b->dev, threads, isa) < 0) {
        fprintf(stderr, "%s\n", err_text());
        exit(1);
    }
}

static inline int kernel_bench_wants(const struct kernel_bench *b, const char *name)
{
    return !b->only || strstr(name, b->only);
}

static inline struct buffer kernel_bench_bytes(struct kernel_bench *b, size_t bytes)
{
    struct buffer buf;
    if (buffer_open(&buf, b->dev, PLACE_HOST, bytes, "bench") < 0) {
        fprintf(stderr, "%s\n", err_text());
        exit(1);
    }
    return buf;
}

/* Uniform in [-1, 1). */
static inline struct buffer kernel_bench_floats(struct kernel_bench *b, size_t n)
{
    struct buffer buf = kernel_bench_bytes(b, n * sizeof(float));
    uint32_t x = 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        ((float *)buf.base)[i] = 2 * rng_uniform(x) - 1;
    }
    return buf;
}

static inline int kernel_bench_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double kernel_bench_now(const struct kernel_bench *b)
{
    struct timespec t;
    clock_gettime(b->cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    double s = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
    return b->cpu_time ? s / device_cpu_threads(b->dev) : s;
}

/* Times run(arg), once unmeasured; prints the line. bytes: what must cross memory at least. */
static inline void kernel_bench_run(struct kernel_bench *b, const char *name, double flops,
                                    double bytes, void (*run)(void *arg), void *arg)
{
    double times[KERNEL_BENCH_RUNS];
    int n = 0;
    double ceiling = fma_peak_gflops(cpu_pool(b->dev), b->dev->kernels->name, 5);
    run(arg);
    uint64_t start = clock_now_ns();
    while (n < 5 || (n < KERNEL_BENCH_RUNS && clock_seconds_since(start) < b->seconds)) {
        double one = kernel_bench_now(b);
        run(arg);
        times[n++] = kernel_bench_now(b) - one;
    }
    double after = fma_peak_gflops(cpu_pool(b->dev), b->dev->kernels->name, 5);
    if (after > ceiling)
        ceiling = after;
    qsort(times, (size_t)n, sizeof(*times), kernel_bench_order);
    printf(
        "{\"bench\":\"%s\",\"isa\":\"%s\",\"threads\":%d,\"runs\":%d,\"ms\":%.4g,\"best_ms\":%.4g,"
        "\"gflops\":%.4g,\"best_gflops\":%.4g,\"ceiling\":%.4g,\"ratio\":%.3f,\"gbps\":%.3g}\n",
        name, b->dev->kernels->name, device_cpu_threads(b->dev), n, 1e3 * times[n / 2],
        1e3 * times[0], 1e-9 * flops / times[n / 2], 1e-9 * flops / times[0], ceiling,
        1e-9 * flops / times[0] / ceiling, 1e-9 * bytes / times[0]);
    fflush(stdout);
}

#endif
