/*
 * Convolutions, beside the FMA ceiling: the layers of VGG11 at batch 64 and some of YOLOv3 at 416 x
 * 416, batch 1. FLOPs are those of the plain algorithm. See kernel_bench.h.
 */
#include "bench/kernel_bench.h"

struct conv {
    struct device *dev;
    struct conv2d_dims dims;
    struct buffer inp, out, weight, bias, work;
};

static void run_forward(void *arg)
{
    struct conv *c = arg;
    c->dev->kernels->conv2d_forward(c->dev, c->out.base, c->inp.base, c->weight.base, c->bias.base,
                                    &c->dims, ACT_RELU, c->work.base);
}

static void run_backward_data(void *arg)
{
    struct conv *c = arg;
    c->dev->kernels->conv2d_backward_data(c->dev, c->inp.base, c->out.base, c->weight.base,
                                          &c->dims, 0, c->work.base);
}

static void run_backward_weights(void *arg)
{
    struct conv *c = arg;
    c->dev->kernels->conv2d_backward_weights(c->dev, c->weight.base, c->bias.base, c->out.base,
                                             c->inp.base, &c->dims, -1e-12f, c->work.base);
}

static void bench_conv(struct kernel_bench *b, const char *net, const struct conv2d_dims *s,
                       int backward)
{
    static const struct {
        const char *name;
        void (*run)(void *);
    } part[] = {{"forward", run_forward},
                {"backward_data", run_backward_data},
                {"backward_weights", run_backward_weights}};
    struct conv c = {b->dev, *s, .work = {.bytes = 0}};
    size_t n_inp = (size_t)s->n * (size_t)s->c * (size_t)(s->h * s->w),
           n_out = (size_t)s->n * (size_t)s->k * (size_t)(s->oh * s->ow),
           n_weight = (size_t)s->k * (size_t)(s->c * s->kh * s->kw);
    double flops = 2.0 * (double)n_out * s->c * s->kh * s->kw,
           bytes = 4.0 * (double)(n_inp + n_out + n_weight);
    int opened = 0;
    for (int i = 0; i < (backward ? 3 : 1); i++) {
        char name[96];
        snprintf(name, sizeof(name), "%s %d->%d @%dx%d kernel %d stride %d batch %d %s", net, s->c,
                 s->k, s->h, s->w, s->kh, s->sh, s->n, part[i].name);
        if (!kernel_bench_wants(b, name))
            continue;
        if (!opened++) {
            c.inp = kernel_bench_floats(b, n_inp);
            c.out = kernel_bench_floats(b, n_out);
            c.weight = kernel_bench_floats(b, n_weight);
            c.bias = kernel_bench_floats(b, (size_t)s->k);
            c.work = kernel_bench_bytes(b, b->dev->kernels->conv2d_work(b->dev, s, backward));
        }
        kernel_bench_run(b, name, flops, bytes, part[i].run, &c);
    }
    if (opened) {
        buffer_close(&c.inp);
        buffer_close(&c.out);
        buffer_close(&c.weight);
        buffer_close(&c.bias);
        buffer_close(&c.work);
    }
}

/* A square convolution that pads by half its kernel. */
static struct conv2d_dims square(int n, int c, int size, int k, int kernel, int stride)
{
    int out = (size + 2 * (kernel / 2) - kernel) / stride + 1;
    return (struct conv2d_dims){n,      c,      size,       size,       k,   kernel, kernel,
                                stride, stride, kernel / 2, kernel / 2, out, out};
}

int main(int argc, char **argv)
{
    static const int vgg11[][3] = {{3, 32, 64},   {64, 16, 128}, {128, 8, 256}, {256, 8, 256},
                                   {256, 4, 512}, {512, 4, 512}, {512, 2, 512}};
    /* c, size, k, kernel, stride */
    static const int yolov3[][5] = {
        {3, 416, 32, 3, 1},    {32, 416, 64, 3, 2},  {64, 208, 32, 1, 1},  {32, 208, 64, 3, 1},
        {128, 104, 64, 1, 1},  {64, 104, 128, 3, 1}, {256, 52, 128, 1, 1}, {128, 52, 256, 3, 1},
        {256, 52, 512, 3, 2},  {512, 26, 256, 1, 1}, {256, 26, 512, 3, 1}, {1024, 13, 512, 1, 1},
        {512, 13, 1024, 3, 1}, {1024, 13, 255, 1, 1}};
    struct kernel_bench b;
    kernel_bench_open(&b, argc, argv);
    for (size_t i = 0; i < sizeof(vgg11) / sizeof(vgg11[0]); i++) {
        struct conv2d_dims s = square(64, vgg11[i][0], vgg11[i][1], vgg11[i][2], 3, 1);
        bench_conv(&b, "vgg11", &s, 1);
    }
    for (size_t i = 0; i < sizeof(yolov3) / sizeof(yolov3[0]); i++) {
        const int *y = yolov3[i];
        struct conv2d_dims s = square(1, y[0], y[1], y[2], y[3], y[4]);
        bench_conv(&b, "yolov3", &s, 0);
    }
    device_close(b.dev);
    return 0;
}
