/*
 * The CUDA kernels that only move memory, beside what the card itself copies: the same bytes, half
 * of them read and half written, by its own copy. Sizes are VGG11's at batch 256, so that most
 * arrays are larger than a large card's L2 cache; what is small and fits is faster than memory for
 * both. A run is as many calls as fill two milliseconds, waited for once, so a call's start is in
 * it as far as the GPU waits for it. "ratio" is the copy's best time over the kernel's. One JSON
 * line a kernel; without a GPU one line says why there is none.
 *
 *     bench_cuda [--device 0] [--seconds 0.5] [--only TEXT]
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef EMULATED
#define BENCH_BATCH 256
#else /* which is slow */
#define BENCH_BATCH 1
#endif
#define BENCH_NORM_READS 2
#include "base/err.h"
#include "bench/kernel_cases.h"
#include "bench/sample.h"
#include "kernels/buffer.h"

struct options {
    int device;
    double seconds;
    const char *only; /* NULL, or what a case's name must contain */
};

static struct options options_of(int argc, char **argv)
{
    static const struct option known[] = {{"device", required_argument, NULL, 'd'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"only", required_argument, NULL, 'o'},
                                          {NULL, 0, NULL, 0}};
    struct options o = {.seconds = 0.5};
    int c;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (c == 'd')
            o.device = atoi(optarg);
        else if (c == 's')
            o.seconds = atof(optarg);
        else if (c == 'o')
            o.only = optarg;
        else
            exit(2);
    }
    return o;
}

static void stop(void)
{
    fprintf(stderr, "%s\n", err_text());
    exit(1);
}

static void wait_for(struct device *d)
{
    if (device_sync(d) < 0)
        stop();
}

struct move {
    struct device *dev;
    float *dst;
    const float *src;
    size_t bytes;
};

static void run_move(void *arg)
{
    const struct move *m = arg;
    m->dev->ops->copy(m->dev, m->dst, m->src, m->bytes);
}

/* Milliseconds a call: the best and the median of the runs. */
static void time_calls(struct device *d, double seconds, void (*run)(void *), void *arg,
                       double *best, double *median)
{
    struct sample s;
    int calls = 1;
    uint64_t start;
    run(arg);
    wait_for(d);
    for (;; calls *= 2) {
        start = clock_now_ns();
        for (int i = 0; i < calls; i++)
            run(arg);
        wait_for(d);
        if (clock_seconds_since(start) > 2e-3 || calls >= 1 << 16)
            break;
    }
    sample_open(&s, seconds / 2);
    while (sample_more(&s)) {
        start = clock_now_ns();
        for (int i = 0; i < calls; i++)
            run(arg);
        wait_for(d);
        sample_add(&s, start);
    }
    sample_sort(&s);
    *best = sample_quantile(&s, 0) / calls;
    *median = sample_quantile(&s, 0.5) / calls;
    sample_close(&s);
}

static void bench_case(struct arrays *a, const struct kernel_case *c, const struct options *o)
{
    double bytes = 4.0 * (double)(c->read + c->write), best, median, floor_best, floor_median;
    struct move m = {a->dev, a->y, a->x, (size_t)(bytes / 2)};
    if (o->only && !strstr(c->name, o->only))
        return;
    time_calls(a->dev, o->seconds, run_move, &m, &floor_best, &floor_median);
    time_calls(a->dev, o->seconds, c->run, a, &best, &median);
    printf("{\"bench\":\"%s\",\"isa\":\"cuda\",\"device\":%d,\"batch\":%d,\"ms\":%.4g,"
           "\"best_ms\":%.4g,\"gbps\":%.4g,\"ceiling_gbps\":%.4g,\"ratio\":%.3f}\n",
           c->name, o->device, BENCH_BATCH, median, best, 1e-6 * bytes / best,
           1e-6 * bytes / floor_best, floor_best / best);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct options o = options_of(argc, argv);
    struct device *d;
    int ret = device_cuda_open(&d, o.device);
    if (ret == -ENODEV) {
        printf("{\"bench\":\"cuda\",\"skipped\":\"%s\"}\n", err_text());
        return 0;
    }
    if (ret < 0)
        stop();
    struct buffer x, y, z, arg, small;
    if (buffer_open(&x, d, PLACE_DEVICE, 4 * ALL * sizeof(float), "x") < 0 ||
        buffer_open(&y, d, PLACE_DEVICE, 3 * ALL * sizeof(float), "y") < 0 ||
        buffer_open(&z, d, PLACE_DEVICE, ALL * sizeof(float), "z") < 0 ||
        buffer_open(&arg, d, PLACE_DEVICE, ALL, "arg") < 0 ||
        buffer_open(&small, d, PLACE_DEVICE, SMALL * sizeof(float), "small") < 0)
        stop();
    struct arrays a = {d, x.base, y.base, z.base, arg.base, small.base};
    d->kernels->fill_uniform(d, a.x, 4 * ALL, &key, -1, 1);
    d->kernels->fill_uniform(d, a.small, SMALL, &key, 0.5f, 1.5f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].run == xent) /* labels: all of them 0 */
            d->kernels->fill(d, (void *)a.arg, BENCH_BATCH, 0);
        bench_case(&a, &cases[i], &o);
    }
    struct buffer *all[] = {&x, &y, &z, &arg, &small};
    for (size_t i = 0; i < 5; i++)
        buffer_close(all[i]);
    device_close(d);
    return 0;
}
