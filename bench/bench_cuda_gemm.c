/*
 * Products, linear layers and convolutions on a GPU, through our own kernels, in float and by
 * tensor cores, and, where it is, through cuDNN, beside what the GPU reaches with multiply-adds of
 * the same kind alone. A time is that of several
 * queued calls, divided by their number. FLOPs are those of the plain algorithms. On a machine
 * without a GPU one line says so.
 *
 *     bench_cuda_gemm [--seconds 0.3] [--only TEXT]
 */
#include <getopt.h>
#include <string.h>

#include "bench/conv_cases.h"
#include "bench/gpu_ceiling.h"
#include "bench/sample.h"
#include "kernels/buffer.h"

struct bench {
    struct device *dev;
    double seconds;
    const char *only, *algo;
    enum math math;
    double peak; /* FLOP a second */
};

static void must(int ret)
{
    if (ret >= 0)
        return;
    fprintf(stderr, "%s\n", err_text());
    exit(1);
}

static struct buffer floats(struct bench *b, size_t n)
{
    static const struct rng key = {{1, 2}, {3, 4}};
    struct buffer buf;
    must(buffer_open(&buf, b->dev, PLACE_DEVICE, n * sizeof(float), "bench"));
    b->dev->kernels->fill_uniform(b->dev, buf.base, n, &key, -1, 1);
    return buf;
}

/* Seconds of one of `run`'s calls, at best and in the middle. */
static void time_of(struct bench *b, void (*run)(void *arg), void *arg, double *best,
                    double *median)
{
    struct sample s;
    int calls = 1;
    run(arg);
    must(device_sync(b->dev));
    for (double took = 0; took < 5e-3 && calls < 4096; calls *= 2) { /* enough to hide launches */
        uint64_t start = clock_now_ns();
        for (int i = 0; i < calls; i++)
            run(arg);
        must(device_sync(b->dev));
        took = clock_seconds_since(start);
    }
    sample_open(&s, b->seconds);
    while (sample_more(&s)) {
        uint64_t start = clock_now_ns();
        for (int i = 0; i < calls; i++)
            run(arg);
        must(device_sync(b->dev));
        sample_add(&s, start);
    }
    sample_sort(&s);
    *best = 1e-3 * sample_quantile(&s, 0) / calls;
    *median = 1e-3 * sample_quantile(&s, 0.5) / calls;
    sample_close(&s);
}

static void report(struct bench *b, const char *name, double flops, void (*run)(void *arg),
                   void *arg)
{
    double best, median;
    time_of(b, run, arg, &best, &median);
    printf("{\"bench\":\"%s\",\"algo\":\"%s\",\"math\":\"%s\",\"ms\":%.4g,\"best_ms\":%.4g,"
           "\"tflops\":%.4g,"
           "\"peak_tflops\":%.4g,\"ratio\":%.3f}\n",
           name, b->algo, math_name(b->math), 1e3 * median, 1e3 * best, 1e-12 * flops / median,
           1e-12 * b->peak, flops / best / b->peak);
    fflush(stdout);
}

struct operation {
    struct device *dev;
    int m, n, k; /* or of a linear layer: samples, inputs, outputs */
    struct conv2d_dims dims;
    struct buffer inp, weight, out, bias, work;
};

#define RUN(name, call)                                                         \
    static void name(void *arg)                                                 \
    {                                                                           \
        struct operation *o = arg;                                              \
        const struct kernels *k = o->dev->kernels;                              \
        const float *bias = o->bias.base;                                       \
        float *inp = o->inp.base, *weight = o->weight.base, *out = o->out.base; \
        (void)bias;                                                             \
        k->call;                                                                \
    }
#define LINEAR_SIZES o->m, o->n, o->k
RUN(gemm,
    gemm(o->dev, 0, 0, o->m, o->n, o->k, 1, inp, o->k, weight, o->n, out, o->n, 0, o->work.base))
RUN(linear_forward,
    linear_forward(o->dev, out, inp, weight, bias, LINEAR_SIZES, ACT_RELU, o->work.base))
RUN(linear_data, linear_backward_data(o->dev, inp, out, weight, LINEAR_SIZES, 0, o->work.base))
RUN(linear_weights, linear_backward_weights(o->dev, weight, o->bias.base, out, inp, LINEAR_SIZES,
                                            -1e-12f, o->work.base))
RUN(conv_forward, conv2d_forward(o->dev, out, inp, weight, bias, &o->dims, ACT_RELU, o->work.base))
RUN(conv_data, conv2d_backward_data(o->dev, inp, out, weight, &o->dims, 0, o->work.base))
RUN(conv_weights, conv2d_backward_weights(o->dev, weight, o->bias.base, out, inp, &o->dims, -1e-12f,
                                          o->work.base))
RUN(turned_forward,
    conv_transpose2d_forward(o->dev, out, inp, weight, bias, &o->dims, ACT_RELU, o->work.base))
RUN(turned_data,
    conv_transpose2d_backward_data(o->dev, inp, out, weight, &o->dims, 0, o->work.base))
RUN(turned_weights, conv_transpose2d_backward_weights(o->dev, weight, o->bias.base, out, inp,
                                                      &o->dims, -1e-12f, o->work.base))

struct part {
    const char *name;
    void (*run)(void *arg);
};

static void open_arrays(struct bench *b, struct operation *o, size_t inp, size_t weight, size_t out,
                        size_t bias, size_t work)
{
    o->inp = floats(b, inp);
    o->weight = floats(b, weight);
    o->out = floats(b, out);
    o->bias = floats(b, bias);
    must(buffer_open(&o->work, b->dev, PLACE_DEVICE, work, "bench"));
}

static void close_arrays(struct operation *o)
{
    struct buffer *all[] = {&o->inp, &o->weight, &o->out, &o->bias, &o->work};
    for (int i = 0; i < 5; i++)
        buffer_close(all[i]);
}

static void bench_product(struct bench *b, const char *what, const struct part *parts, int count,
                          int m, int n, int k)
{
    struct operation o = {b->dev, m, n, k, .work = {.bytes = 0}};
    int linear = parts->run != gemm;
    size_t rows = (size_t)m, columns = (size_t)n, depth = (size_t)k, work;
    char name[96];
    snprintf(name, sizeof(name), "%s %dx%dx%d", what, m, n, k);
    if (b->only && !strstr(name, b->only))
        return;
    work = linear ? b->dev->kernels->linear_work(b->dev, m, n, k)
                  : b->dev->kernels->gemm_work(b->dev, m, n, k);
    open_arrays(b, &o, rows * (linear ? columns : depth), columns * depth,
                rows * (linear ? depth : columns), depth, work);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "%s %dx%dx%d%s", what, m, n, k, parts[i].name);
        report(b, name, 2.0 * m * n * k, parts[i].run, &o);
    }
    close_arrays(&o);
}

/* turned: the transposed convolution of the same sizes, from the output's shape to the input's. */
static void bench_convolution(struct bench *b, const struct conv_case *c, int turned)
{
    static const struct part parts[2][3] = {{{"forward", conv_forward},
                                             {"backward_data", conv_data},
                                             {"backward_weights", conv_weights}},
                                            {{"transposed forward", turned_forward},
                                             {"transposed backward_data", turned_data},
                                             {"transposed backward_weights", turned_weights}}};
    struct operation o = {.dev = b->dev, .dims = conv_case_dims(c)};
    const struct conv2d_dims *s = &o.dims;
    const struct kernels *k = b->dev->kernels;
    size_t in = (size_t)s->n * (size_t)s->c * (size_t)(s->h * s->w);
    size_t out = (size_t)s->n * (size_t)s->k * (size_t)(s->oh * s->ow);
    char name[96];
    conv_case_name(c, "", name, sizeof(name));
    if (b->only && !strstr(name, b->only))
        return;
    open_arrays(b, &o, turned ? out : in, (size_t)s->k * (size_t)(s->c * s->kh * s->kw),
                turned ? in : out, (size_t)(turned ? s->c : s->k),
                (turned ? k->conv_transpose2d_work : k->conv2d_work)(b->dev, s, c->trained));
    for (int i = 0; i < (c->trained ? 3 : 1); i++) {
        conv_case_name(c, parts[turned][i].name, name, sizeof(name));
        report(b, name, 2.0 * (double)out * s->c * s->kh * s->kw, parts[turned][i].run, &o);
    }
    close_arrays(&o);
}

static void bench_own(struct bench *b, enum math math)
{
    static const struct part product = {"", gemm};
    static const struct part linear[] = {{" forward", linear_forward},
                                         {" backward_data", linear_data},
                                         {" backward_weights", linear_weights}};
    static const struct conv_case decoder = {"vgg11 conv:4", 64, 128, 8, 32, 3, 1, 1};
    static const int squares[] = {256, 1024, 4096};
    static const int layers[][3] = {
        {1, 4096, 4096}, {16, 4096, 4096}, {64, 4096, 4096}, {64, 512, 4096}, {64, 4096, 1000}};
    if (device_cuda_use_math(b->dev, math) < 0) {
        printf(
            "{\"bench\":\"cuda products and convolutions\",\"math\":\"%s\",\"skipped\":\"%s\"}\n",
            math_name(math), err_text());
        return;
    }
    b->math = math;
    b->peak = gpu_ceiling_flops(b->dev);
    for (int i = 0; i < 3; i++)
        bench_product(b, "gemm", &product, 1, squares[i], squares[i], squares[i]);
    for (int i = 0; i < 5; i++)
        bench_product(b, "linear", linear, 3, layers[i][0], layers[i][1], layers[i][2]);
    for (int i = 0; i < CONV_CASES; i++)
        bench_convolution(b, &conv_cases[i], 0);
    bench_convolution(b, &decoder, 1);
}

static void bench_all(struct bench *b)
{
    bench_own(b, MATH_TF32);
    bench_own(b, MATH_FP16);
    bench_own(b, MATH_FP32); /* the last: cuDNN's are beside its ceiling */
    if (device_cuda_use_cudnn(b->dev, NULL) < 0) {
        printf("{\"bench\":\"cuda convolutions\",\"algo\":\"cudnn\",\"skipped\":\"%s\"}\n",
               err_text());
        return;
    }
    b->algo = "cudnn";
    for (int i = 0; i < CONV_CASES; i++)
        bench_convolution(b, &conv_cases[i], 0);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
                                            {"only", required_argument, NULL, 'o'},
                                            {NULL, 0, NULL, 0}};
    struct bench b = {.seconds = 0.3, .algo = "own"};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            b.seconds = atof(optarg);
        else if (c == 'o')
            b.only = optarg;
        else
            return 2;
    }
    if (device_cuda_open(&b.dev, 0) < 0) {
        printf("{\"bench\":\"cuda products and convolutions\",\"skipped\":\"%s\"}\n", err_text());
        return 0;
    }
    bench_all(&b);
    device_close(b.dev);
    return 0;
}
