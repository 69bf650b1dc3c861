/*
 * Matrix products and linear layers, beside the FMA ceiling: square products, each transpose, the
 * layers of VGG11's classifier and of the small model at batch 64 and 1. See kernel_bench.h.
 */
#include "bench/kernel_bench.h"

struct product {
    struct device *dev;
    int ta, tb, m, n, k;
    struct buffer a, b, c, work;
};

static void run_product(void *arg)
{
    struct product *p = arg;
    p->dev->kernels->gemm(p->dev, p->ta, p->tb, p->m, p->n, p->k, 1, p->a.base, p->ta ? p->m : p->k,
                          p->b.base, p->tb ? p->k : p->n, p->c.base, p->n, 0, p->work.base);
}

static void bench_product(struct kernel_bench *b, int ta, int tb, int m, int n, int k)
{
    char name[64];
    snprintf(name, sizeof(name), "gemm %s%s %dx%dx%d", ta ? "t" : "n", tb ? "t" : "n", m, n, k);
    if (!kernel_bench_wants(b, name))
        return;
    struct product p = {b->dev, ta, tb, m, n, k, .work = {.bytes = 0}};
    p.a = kernel_bench_floats(b, (size_t)m * (size_t)k);
    p.b = kernel_bench_floats(b, (size_t)k * (size_t)n);
    p.c = kernel_bench_floats(b, (size_t)m * (size_t)n);
    p.work = kernel_bench_bytes(b, b->dev->kernels->gemm_work(b->dev, m, n, k));
    double bytes = 4.0 * ((double)m * k + (double)k * n + (double)m * n);
    kernel_bench_run(b, name, 2.0 * m * n * k, bytes, run_product, &p);
    buffer_close(&p.a);
    buffer_close(&p.b);
    buffer_close(&p.c);
    buffer_close(&p.work);
}

struct linear {
    struct device *dev;
    int n, c, k;
    struct buffer inp, out, weight, bias, work;
};

static void run_forward(void *arg)
{
    struct linear *l = arg;
    l->dev->kernels->linear_forward(l->dev, l->out.base, l->inp.base, l->weight.base, l->bias.base,
                                    l->n, l->c, l->k, ACT_RELU, l->work.base);
}

static void run_backward_data(void *arg)
{
    struct linear *l = arg;
    l->dev->kernels->linear_backward_data(l->dev, l->inp.base, l->out.base, l->weight.base, l->n,
                                          l->c, l->k, 0, l->work.base);
}

/* As the fused update does: so small a step that the weights stay what they are. */
static void run_backward_weights(void *arg)
{
    struct linear *l = arg;
    l->dev->kernels->linear_backward_weights(l->dev, l->weight.base, l->bias.base, l->out.base,
                                             l->inp.base, l->n, l->c, l->k, -1e-12f, l->work.base);
}

static void bench_linear(struct kernel_bench *b, int n, int c, int k)
{
    static const struct {
        const char *name;
        void (*run)(void *);
        int weight_passes;
    } part[] = {{"forward", run_forward, 1},
                {"backward_data", run_backward_data, 1},
                {"backward_weights", run_backward_weights, 2}};
    struct linear l = {b->dev, n, c, k, .work = {.bytes = 0}};
    int opened = 0;
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof(name), "linear %d->%d batch %d %s", c, k, n, part[i].name);
        if (!kernel_bench_wants(b, name))
            continue;
        if (!opened++) {
            l.inp = kernel_bench_floats(b, (size_t)n * (size_t)c);
            l.out = kernel_bench_floats(b, (size_t)n * (size_t)k);
            l.weight = kernel_bench_floats(b, (size_t)k * (size_t)c);
            l.bias = kernel_bench_floats(b, (size_t)k);
            l.work = kernel_bench_bytes(b, b->dev->kernels->linear_work(b->dev, n, c, k));
        }
        double bytes = 4.0 * ((double)part[i].weight_passes * k * c + (double)n * (c + k));
        kernel_bench_run(b, name, 2.0 * n * c * k, bytes, part[i].run, &l);
    }
    if (opened) {
        buffer_close(&l.inp);
        buffer_close(&l.out);
        buffer_close(&l.weight);
        buffer_close(&l.bias);
        buffer_close(&l.work);
    }
}

int main(int argc, char **argv)
{
    static const int linear[][3] = {
        {64, 25088, 4096}, {64, 4096, 4096}, {64, 4096, 1000}, {1, 25088, 4096}, {1, 4096, 4096},
        {64, 784, 512},    {64, 512, 256},   {64, 256, 10},    {1, 784, 512},    {8, 4096, 4096}};
    struct kernel_bench b;
    kernel_bench_open(&b, argc, argv);
    bench_product(&b, 0, 0, 4096, 4096, 4096);
    for (int way = 0; way < 4; way++)
        bench_product(&b, way >> 1, way & 1, 1000, 1000, 1000);
    bench_product(&b, 0, 0, 1024, 1024, 1024);
    bench_product(&b, 0, 0, 128, 128, 128);
    for (size_t i = 0; i < sizeof(linear) / sizeof(linear[0]); i++)
        bench_linear(&b, linear[i][0], linear[i][1], linear[i][2]);
    device_close(b.dev);
    return 0;
}
