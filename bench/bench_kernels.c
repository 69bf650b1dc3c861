/*
 * The kernels that only move memory, at the sizes of VGG11 at batch 64 (and YOLOv3's where VGG has
 * none). Beside each its ceiling: the same bytes read and written by the same threads with nothing
 * to compute. "ratio" is the ceiling's best time over the kernel's. Options: see kernel_bench.h.
 */
#include <math.h>

#include "bench/kernel_bench.h"

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

/* Arrays for the largest case; a case reads `read` floats and writes `write` of them. */
struct arrays {
    struct kernel_bench *b;
    float *x, *y, *z;
    uint8_t *arg;
    float *small; /* channels' numbers */
};

struct kernel_case {
    const char *name;
    size_t read, write;
    void (*run)(void *arrays);
};

static const struct pool_dims pool1 = {64, 64, 32, 32, 2, 2, 2, 2, 0, 0, 16, 16};
static const struct pool_dims pool2 = {64, 128, 16, 16, 2, 2, 2, 2, 0, 0, 8, 8};
static const struct pool_dims pool4 = {64, 512, 4, 4, 2, 2, 2, 2, 0, 0, 2, 2};
static const struct pool_dims pool5 = {64, 512, 2, 2, 2, 2, 2, 2, 0, 0, 1, 1};
static const struct pool_dims tiny = {1, 512, 13, 13, 2, 2, 1, 1, 0, 0, 13, 13};
static const struct rng key = {{1, 2}, {3, 4}};

#define IN(s) ((size_t)(s).n * (s).c * (s).h * (s).w)
#define OUT(s) ((size_t)(s).n * (s).c * (s).oh * (s).ow)
#define KERNELS (((struct arrays *)a)->b->dev->kernels)
#define DEV (((struct arrays *)a)->b->dev)
#define X (((struct arrays *)a)->x)
#define Y (((struct arrays *)a)->y)
#define Z (((struct arrays *)a)->z)
#define ARG (((struct arrays *)a)->arg)
#define S(i) (((struct arrays *)a)->small + (size_t)1024 * (i))
#define CASE(name, call)      \
    static void name(void *a) \
    {                         \
        KERNELS->call;        \
    }

CASE(relu, act_forward(DEV, Y, Y, IN(pool1), ACT_RELU))
CASE(relu_back, act_backward(DEV, X, X, Y, IN(pool1), ACT_RELU, 0))
CASE(sigmoid, act_forward(DEV, Y, X, IN(pool1), ACT_SIGMOID))
CASE(max1, maxpool_forward(DEV, Y, ARG, X, &pool1))
CASE(max1_infer, maxpool_forward(DEV, Y, NULL, X, &pool1))
CASE(max2, maxpool_forward(DEV, Y, ARG, X, &pool2))
CASE(max4, maxpool_forward(DEV, Y, ARG, X, &pool4))
CASE(max5, maxpool_forward(DEV, Y, ARG, X, &pool5))
CASE(max_tiny, maxpool_forward(DEV, Y, NULL, X, &tiny))
CASE(max1_back, maxpool_backward(DEV, Y, X, ARG, &pool1, 0))
CASE(max4_back, maxpool_backward(DEV, Y, X, ARG, &pool4, 0))
CASE(max5_back, maxpool_backward(DEV, Y, X, ARG, &pool5, 0))
CASE(avg, avgpool_forward(DEV, Y, X, 64, 512, 1, 1, 7, 7))
CASE(avg_back, avgpool_backward(DEV, Y, X, 64, 512, 1, 1, 7, 7, 0))
CASE(up, upsample_forward(DEV, Y, X, 1, 128, 26, 26, 2))
CASE(up_back, upsample_backward(DEV, Y, X, 1, 128, 26, 26, 2, 0))
CASE(drop, dropout_forward(DEV, Y, X, (size_t)64 * 4096, 0.5f, &key, 0))
CASE(bn_train, batchnorm_forward_train(DEV, Y, S(0), S(1), S(2), S(3), X, S(4), S(5), 64, 64, 1024,
                                       0.1f, 1e-5f))
CASE(bn_eval,
     batchnorm_forward_eval(DEV, Y, X, S(4), S(5), S(2), S(3), 64, 64, 1024, 1e-5f, ACT_LEAKY))
CASE(bn_back, batchnorm_backward_data(DEV, Z, S(6), S(7), Y, X, S(4), S(0), S(1), 64, 64, 1024, 0))
CASE(xent, softmax_xent(DEV, S(0), Y, X, (const int32_t *)ARG, 64, 1000, 1))
CASE(axpy, axpy(DEV, Y, X, IN(pool1), 1e-9f))
CASE(axpby, axpby(DEV, Y, X, IN(pool1), 0.5f, 0.5f))
CASE(rows, copy_rows(DEV, Y, (size_t)3 * 65536, X, 65536, 65536, 20, 0))
CASE(fill, fill(DEV, Y, IN(pool1), 1))
CASE(uniform, fill_uniform(DEV, Y, IN(pool1), &key, -1, 1))
CASE(normal, fill_normal(DEV, Y, IN(pool1), &key, 0, 1))
CASE(to_half, f32_to_f16(DEV, (void *)Y, X, IN(pool1)))
CASE(to_float, f16_to_f32(DEV, Y, (const void *)X, IN(pool1)))

#define ALL ((size_t)64 * 64 * 32 * 32)
static const struct kernel_case cases[] = {
    {"relu in place 4M", ALL, ALL, relu},
    {"relu backward in place 4M", 2 * ALL, ALL, relu_back},
    {"sigmoid 4M", ALL, ALL, sigmoid},
    {"maxpool 1, 64x64x32x32", ALL, ALL / 4 + ALL / 16, max1},
    {"maxpool 1, no arg", ALL, ALL / 4, max1_infer},
    {"maxpool 2, 64x128x16x16", ALL / 2, ALL / 8 + ALL / 32, max2},
    {"maxpool 4, 64x512x4x4", ALL / 8, ALL / 32 + ALL / 128, max4},
    {"maxpool 5, 64x512x2x2", ALL / 32, ALL / 128 + ALL / 512, max5},
    {"maxpool 2x2 stride 1, 512x13x13", 86528, 86528, max_tiny},
    {"maxpool 1 backward", ALL / 4 + ALL / 16, ALL, max1_back},
    {"maxpool 4 backward", ALL / 32 + ALL / 128, ALL / 8, max4_back},
    {"maxpool 5 backward", ALL / 128 + ALL / 512, ALL / 32, max5_back},
    {"avgpool 64x512, 1x1 to 7x7", 32768, 1605632, avg},
    {"avgpool backward", 1605632, 32768, avg_back},
    {"upsample 128x26x26 by 2", 86528, 346112, up},
    {"upsample backward", 346112, 86528, up_back},
    {"dropout 64x4096", 262144, 262144, drop},
    {"batchnorm train 64x64x32x32", 3 * ALL, ALL, bn_train},
    {"batchnorm eval, leaky", ALL, ALL, bn_eval},
    {"batchnorm backward", 4 * ALL, ALL, bn_back},
    {"softmax_xent 64x1000", 64000, 64000, xent},
    {"axpy 4M", 2 * ALL, ALL, axpy},
    {"axpby 4M", 2 * ALL, ALL, axpby},
    {"copy_rows 20 of 256 KiB", 1310720, 1310720, rows},
    {"fill 4M", 0, ALL, fill},
    {"fill_uniform 4M", 0, ALL, uniform},
    {"fill_normal 4M", 0, ALL, normal},
    {"f32_to_f16 4M", ALL, ALL / 2, to_half},
    {"f16_to_f32 4M", ALL / 2, ALL, to_float},
};

static void bench_case(struct arrays *a, const struct kernel_case *c)
{
    if (!kernel_bench_wants(a->b, c->name))
        return;
    struct move m = {a->b->dev, a->y, a->x, c->read, c->write, 0};
    double best, median, floor_best, floor_median;
    time_runs(a->b, run_move, &m, &floor_best, &floor_median);
    time_runs(a->b, c->run, a, &best, &median);
    double bytes = 4.0 * (double)(c->read + c->write);
    printf("{\"bench\":\"%s\",\"isa\":\"%s\",\"threads\":%d,\"ms\":%.4g,\"best_ms\":%.4g,"
           "\"gbps\":%.4g,\"ceiling_gbps\":%.4g,\"ratio\":%.3f}\n",
           c->name, a->b->dev->kernels->name, device_cpu_threads(a->b->dev), 1e3 * median,
           1e3 * best, 1e-9 * bytes / best, 1e-9 * bytes / floor_best, floor_best / best);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct kernel_bench b;
    kernel_bench_open(&b, argc, argv);
    struct buffer x = kernel_bench_floats(&b, 4 * ALL), y = kernel_bench_floats(&b, ALL);
    struct buffer z = kernel_bench_floats(&b, ALL), arg = kernel_bench_bytes(&b, ALL);
    struct buffer small = kernel_bench_floats(&b, 8192);
    struct arrays a = {&b, x.base, y.base, z.base, arg.base, small.base};
    for (size_t i = 0; i < 8192; i++) /* variances among them */
        a.small[i] = fabsf(a.small[i]) + 0.5f;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].run == xent)
            memset(a.arg, 0, ALL); /* the labels */
        bench_case(&a, &cases[i]);
    }
    struct buffer *all[] = {&x, &y, &z, &arg, &small};
    for (size_t i = 0; i < 5; i++)
        buffer_close(all[i]);
    device_close(b.dev);
    return 0;
}
