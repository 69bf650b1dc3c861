/*
 * Convolutions (conv_cases.h) beside the FMA ceiling. FLOPs are those of the plain algorithm. See
 * kernel_bench.h.
 */
#include "bench/conv_cases.h"
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

static void bench_conv(struct kernel_bench *b, const struct conv_case *of)
{
    static const struct {
        const char *name;
        void (*run)(void *);
    } part[] = {{"forward", run_forward},
                {"backward_data", run_backward_data},
                {"backward_weights", run_backward_weights}};
    struct conv c = {b->dev, conv_case_dims(of), .work = {.bytes = 0}};
    const struct conv2d_dims *s = &c.dims;
    size_t n_inp = (size_t)s->n * (size_t)s->c * (size_t)(s->h * s->w),
           n_out = (size_t)s->n * (size_t)s->k * (size_t)(s->oh * s->ow),
           n_weight = (size_t)s->k * (size_t)(s->c * s->kh * s->kw);
    double flops = 2.0 * (double)n_out * s->c * s->kh * s->kw,
           bytes = 4.0 * (double)(n_inp + n_out + n_weight);
    int opened = 0;
    for (int i = 0; i < (of->trained ? 3 : 1); i++) {
        char name[96];
        conv_case_name(of, part[i].name, name, sizeof(name));
        if (!kernel_bench_wants(b, name))
            continue;
        if (!opened++) {
            c.inp = kernel_bench_floats(b, n_inp);
            c.out = kernel_bench_floats(b, n_out);
            c.weight = kernel_bench_floats(b, n_weight);
            c.bias = kernel_bench_floats(b, (size_t)s->k);
            c.work = kernel_bench_bytes(b, b->dev->kernels->conv2d_work(b->dev, s, of->trained));
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

int main(int argc, char **argv)
{
    struct kernel_bench b;
    kernel_bench_open(&b, argc, argv);
    for (int i = 0; i < CONV_CASES; i++)
        bench_conv(&b, &conv_cases[i]);
    device_close(b.dev);
    return 0;
}
