/*
 * Where a training step's time goes: each layer alone, with the activation after it, as a slice of
 * the model with lent ends. Milliseconds and GFLOP/s of forward, backward_data and backward_weights
 * (which is the update, too), beside the register-only ceiling.
 *
 *     bench_layers [--model vgg11] [--batch 64] [--seconds 0.5] [--threads N] [--isa auto] [--text]
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "bench/fma_peak.h"
#include "bench/sample.h"
#include "kernels/cpu/cpu.h"
#include "models/optimizer.h"
#include "models/pass.h"

enum part { PART_FORWARD, PART_DATA, PART_WEIGHTS, PART_COUNT };

static const char *const part_name[PART_COUNT] = {"forward", "backward_data", "backward_weights"};

struct settings {
    const char *model;
    int batch;
    double seconds; /* a part of a layer */
    int text;
};

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, err_text());
    exit(1);
}

static float *random_array(size_t n, uint32_t stream)
{
    struct rng r = rng_make(1, RNG_TEST, stream, 0);
    float *x = aligned_alloc(64, (n * sizeof(*x) + 63) / 64 * 64);
    CHECK(x);
    for (size_t i = 0; i < n; i++)
        x[i] = 2 * rng_uniform(rng_word(&r, i)) - 1;
    return x;
}

static void run_part(struct pass *p, struct model *m, enum part part)
{
    switch (part) {
    case PART_FORWARD:
        pass_forward(p);
        break;
    case PART_DATA:
        pass_backward_data(p);
        break;
    case PART_WEIGHTS:
        pass_backward_weights(p, -1e-9f);
        break; /* leaves the weights tame */
    default:
        CHECK(0);
    }
    if (device_sync(m->dev) < 0)
        die("layer");
}

/* Layers from .. to of the whole model; the first alone wants no input gradient. */
static void run_slice(const struct settings *set, struct device *dev, int from, int to,
                      double total[PART_COUNT], double ceiling)
{
    struct model_options opt = model_options_default();
    struct model *m;
    struct pass *p;
    double ms[PART_COUNT];
    if (model_open(&m, set->model, &opt) < 0 || model_slice(m, from, to) < 0 ||
        model_bind(m, dev, RUN_TRAIN, MODEL_GRADS_FUSED) < 0)
        die("model");
    model_init(m, 1);
    struct tensor in = model_crossing(m, from, set->batch), out = model_crossing(m, to, set->batch);
    size_t nin = tensor_count(&in), nout = tensor_count(&out);
    float *inp = random_array(nin, 0), *dout = random_array(nout, 1);
    float *outp = random_array(nout, 2), *din = random_array(nin, 3);
    struct pass_ends ends = {.in = inp, .out = outp, .dout = dout, .din = from ? din : NULL};
    if (pass_open(&p, m, RUN_TRAIN, set->batch, &ends) < 0)
        die("pass");
    pass_set(p, set->batch, 1, 0, 0);

    double flops = model_flops(m, from, to) * set->batch;
    const char *what = m->layer[from]->ops->name, *name = m->layer[from]->name;
    if (set->text)
        printf("%3d %-10s %-14s", from, what, name);
    for (enum part part = 0; part < PART_COUNT; part++) {
        struct sample s;
        sample_open(&s, set->seconds);
        for (int i = 0; sample_more(&s); i++) {
            uint64_t start = clock_now_ns();
            run_part(p, m, part);
            if (i >= 1)
                sample_add(&s, start);
        }
        sample_sort(&s);
        ms[part] = sample_quantile(&s, 0.5);
        total[part] += ms[part];
        sample_close(&s);
        if (set->text)
            printf(" %9.3f %7.1f", ms[part], 1e-6 * flops / ms[part]);
        else
            printf("{\"bench\":\"layer\",\"model\":\"%s\",\"batch\":%d,\"layer\":%d,\"op\":\"%s\","
                   "\"name\":\"%s\",\"part\":\"%s\",\"median_ms\":%.4g,\"gflops\":%.4g,"
                   "\"ceiling_gflops\":%.4g}\n",
                   m->name, set->batch, from, what, name, part_name[part], ms[part],
                   1e-6 * flops / ms[part], ceiling);
    }
    if (set->text)
        printf("\n");
    fflush(stdout);
    pass_close(p);
    model_close(m);
    free(inp);
    free(dout);
    free(outp);
    free(din);
}

static void run(const struct settings *set, struct device *dev)
{
    struct model_options opt = model_options_default();
    struct model *m;
    double total[PART_COUNT] = {0},
           ceiling = fma_peak_gflops(cpu_pool(dev), device_cpu_isa(dev), 5);
    if (model_open(&m, set->model, &opt) < 0)
        die("model");
    if (set->text) {
        printf("%s, batch %d, %s, %d threads, FMA ceiling %.1f GFLOP/s\n", m->name, set->batch,
               device_cpu_isa(dev), device_cpu_threads(dev), ceiling);
        printf("%-29s %9s %7s %9s %7s %9s %7s\n", "layer (and its activation)", "fwd ms", "GFLOP/s",
               "data ms", "GFLOP/s", "weights", "GFLOP/s");
    }
    for (int from = 0; from < m->nlayer;) {
        int to = from + 1;
        while (to < m->nlayer && m->layer[to]->act != ACT_NONE)
            to++;
        run_slice(set, dev, from, to, total, ceiling);
        from = to;
    }
    if (set->text)
        printf("%-29s %9.3f %7s %9.3f %7s %9.3f\n", "all", total[PART_FORWARD], "",
               total[PART_DATA], "", total[PART_WEIGHTS]);
    model_close(m);
}

int main(int argc, char **argv)
{
    static const struct option option[] = {{"model", required_argument, NULL, 'm'},
                                           {"batch", required_argument, NULL, 'b'},
                                           {"seconds", required_argument, NULL, 's'},
                                           {"threads", required_argument, NULL, 't'},
                                           {"isa", required_argument, NULL, 'i'},
                                           {"text", no_argument, NULL, 'x'},
                                           {0}};
    struct settings set = {.model = "vgg11", .batch = 64, .seconds = 0.3};
    const char *isa = "auto";
    struct device *dev;
    int threads = 0;
    for (int c; (c = getopt_long(argc, argv, "", option, NULL)) != -1;) {
        switch (c) {
        case 'm':
            set.model = optarg;
            break;
        case 'b':
            set.batch = atoi(optarg);
            break;
        case 's':
            set.seconds = atof(optarg);
            break;
        case 't':
            threads = atoi(optarg);
            break;
        case 'i':
            isa = optarg;
            break;
        case 'x':
            set.text = 1;
            break;
        default:
            return 2;
        }
    }
    if (set.batch < 1 || optind < argc) {
        fprintf(stderr, "usage: bench_layers [--model M] [--batch N] [--seconds S] [--threads N] "
                        "[--isa I] [--text]\n");
        return 2;
    }
    if (device_cpu_open(&dev, threads, isa) < 0)
        die("device");
    run(&set, dev);
    device_close(dev);
    return 0;
}
