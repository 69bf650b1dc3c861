/*
 * Whole training steps and inferences, timed one by one, without network, data set or progress bar:
 * forward, loss, backward, update; a GPU is waited for at the end of each. One JSON line a
 * workload. Without options it runs its own list. A device that is not there is an error.
 *
 *     bench_train [--model vgg11] [--batch 64] [--infer] [--seconds 5] [--threads N] [--isa auto]
 *                 [--device cpu|cuda[:N]] [--conv-algo auto|own|cudnn]
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/fma_peak.h"
#include "bench/gpu_ceiling.h"
#include "bench/sample.h"
#include "kernels/cpu/cpu.h"
#include "models/optimizer.h"
#include "models/pass.h"

enum { WARM_UP = 2 }; /* the first steps touch fresh pages */

struct workload {
    const char *model;
    int batch;
    int infer;
};

struct settings {
    double seconds;
    int threads;
    const char *isa;
    int gpu;               /* its number; -1: on the CPU */
    const char *conv_algo; /* of a GPU */
};

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, err_text());
    exit(1);
}

static double peak_rss_mb(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024;
}

/* Of all threads: what a busy neighbour cannot take away. */
static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void random_batch(float *inp, size_t n, int32_t *labels, int batch)
{
    struct rng image = rng_make(1, RNG_TEST, 0, 0), label = rng_make(1, RNG_TEST, 1, 0);
    for (size_t i = 0; i < n; i++)
        inp[i] = 2 * rng_uniform(rng_word(&image, i)) - 1;
    for (int i = 0; i < batch; i++)
        labels[i] = (int32_t)(rng_word(&label, (uint64_t)i) % 10);
}

static void train_step(struct pass *p, struct model *m, const struct sgd *sgd, int batch,
                       const int32_t *labels, uint32_t step)
{
    pass_set(p, batch, 1, step, 0);
    pass_forward(p);
    pass_loss(p, labels, batch);
    pass_backward_data(p);
    sgd_begin(sgd, m);
    pass_backward_weights(p, sgd_scale(sgd, m));
    sgd_end(sgd, m);
    if (device_sync(m->dev) < 0)
        die("step");
}

static void infer_step(struct pass *p, struct model *m, int batch)
{
    pass_set(p, batch, 1, 0, 0);
    pass_forward(p);
    if (device_sync(m->dev) < 0)
        die("forward");
}

/* --conv-algo auto measures in each run, and keeps nothing. */
static int not_known(struct choice_book *b, const char *key)
{
    return -1;
}

static void forgotten(struct choice_book *b, const char *key, int second, const double ms[2])
{
}

static void choose_convolutions(struct device *dev, const char *algo)
{
    static struct choice_book measures = {not_known, forgotten};
    if (strcmp(algo, "own") == 0)
        return;
    int all = strcmp(algo, "cudnn") == 0;
    int ret = device_cuda_use_cudnn(dev, all ? NULL : &measures);
    if (ret < 0 && (all || ret != -ENOTSUP)) /* auto without cuDNN is the own kernels */
        die("--conv-algo");
}

static struct device *open_device(const struct settings *set)
{
    struct device *dev;
    if (set->gpu < 0 ? device_cpu_open(&dev, set->threads, set->isa)
                     : device_cuda_open(&dev, set->gpu))
        die("device");
    if (set->gpu >= 0)
        choose_convolutions(dev, set->conv_algo);
    return dev;
}

/* What did it, and what that reaches at best. */
static void print_device(struct device *dev, const struct settings *set)
{
    if (set->gpu < 0) {
        printf("\"isa\":\"%s\",\"threads\":%d,\"ceiling_gflops\":%.4g,", device_cpu_isa(dev),
               device_cpu_threads(dev), fma_peak_gflops(cpu_pool(dev), device_cpu_isa(dev), 5));
        return;
    }
    struct gpu_info info;
    struct gpu_choices chosen[GPU_WORK_COUNT];
    if (device_cuda_info(set->gpu, &info) < 0)
        die("device");
    device_cuda_choices(dev, chosen);
    printf("\"isa\":\"cuda\",\"gpu\":\"%s\",\"conv_algo\":\"%s\",\"convolutions_own\":%d,"
           "\"convolutions_cudnn\":%d,\"ceiling_gflops\":%.4g,",
           info.name, set->conv_algo, chosen[GPU_CONVOLUTIONS].own, chosen[GPU_CONVOLUTIONS].cudnn,
           1e-9 * gpu_ceiling_flops(dev));
}

static void print_result(const struct workload *w, const struct settings *set, struct device *dev,
                         struct model *m, struct sample *s, double cpu_ms)
{
    double median, flops = model_flops(m, 0, m->nlayer) * w->batch * (w->infer ? 1 : 3);
    sample_sort(s);
    median = sample_quantile(s, 0.5);
    printf("{\"bench\":\"%s\",\"model\":\"%s\",\"batch\":%d,", w->infer ? "infer" : "train",
           w->model, w->batch);
    print_device(dev, set);
    printf("\"runs\":%d,\"median_ms\":%.4g,\"min_ms\":%.4g,\"p90_ms\":%.4g,\"cpu_ms\":%.4g,"
           "\"samples_per_s\":%.5g,\"gflops\":%.4g,\"peak_rss_mb\":%.0f}\n",
           s->n, median, sample_quantile(s, 0), sample_quantile(s, 0.9), cpu_ms,
           1e3 * w->batch / median, 1e-6 * flops / median, peak_rss_mb());
    fflush(stdout);
}

static void run(const struct workload *w, const struct settings *set)
{
    enum run_mode mode = w->infer ? RUN_EVAL : RUN_TRAIN;
    const struct sgd sgd = {.lr = 1e-3f};
    struct model_options opt = model_options_default();
    struct device *dev = open_device(set);
    struct model *m;
    struct pass *p;
    struct sample s;
    struct buffer in;
    opt.dropout = 0; /* as on the other side of a comparison */
    if (model_open(&m, w->model, &opt) < 0 ||
        model_bind(m, dev, mode, w->infer ? MODEL_GRADS_NONE : sgd_grads(&sgd, 1)) < 0)
        die("model");
    model_init(m, 1);
    size_t n = (size_t)w->batch * tensor_row(&m->in);
    float *inp = aligned_alloc(64, (n * sizeof(*inp) + 63) / 64 * 64);
    int32_t *labels = malloc((size_t)w->batch * sizeof(*labels));
    CHECK(inp && labels);
    random_batch(inp, n, labels, w->batch);
    if (buffer_open(&in, dev, PLACE_DEVICE, n * sizeof(*inp), "input") < 0)
        die("input");
    dev->ops->copy(dev, in.base, inp, n * sizeof(*inp));
    if (device_sync(dev) < 0)
        die("input");
    free(inp);
    if (pass_open(&p, m, mode, w->batch, &(struct pass_ends){.in = in.base}) < 0)
        die("pass");

    double cpu_start = 0;
    sample_open(&s, set->seconds);
    for (uint32_t step = 0; sample_more(&s); step++) {
        uint64_t start = clock_now_ns();
        if (step == WARM_UP)
            cpu_start = cpu_seconds();
        if (w->infer)
            infer_step(p, m, w->batch);
        else
            train_step(p, m, &sgd, w->batch, labels, step);
        if (step >= WARM_UP)
            sample_add(&s, start);
    }
    print_result(w, set, dev, m, &s, 1e3 * (cpu_seconds() - cpu_start) / s.n);
    sample_close(&s);
    pass_close(p);
    model_close(m);
    buffer_close(&in);
    device_close(dev);
    free(labels);
}

static int conv_algo_known(const char *name)
{
    return !strcmp(name, "auto") || !strcmp(name, "own") || !strcmp(name, "cudnn");
}

static int usage(void)
{
    fprintf(stderr, "usage: bench_train [--model M --batch N --infer] [--seconds S] [--threads N] "
                    "[--isa I] [--device cpu|cuda[:N] [--conv-algo auto|own|cudnn]]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct workload list[] = {
        {"vgg11", 64, 0}, {"small", 64, 0}, {"small", 1, 0},  {"vgg11", 1, 1},
        {"vgg11", 64, 1}, {"small", 1, 1},  {"small", 64, 1},
    };
    static const struct option option[] = {{"model", required_argument, NULL, 'm'},
                                           {"batch", required_argument, NULL, 'b'},
                                           {"infer", no_argument, NULL, 'f'},
                                           {"seconds", required_argument, NULL, 's'},
                                           {"threads", required_argument, NULL, 't'},
                                           {"isa", required_argument, NULL, 'i'},
                                           {"device", required_argument, NULL, 'd'},
                                           {"conv-algo", required_argument, NULL, 'c'},
                                           {0}};
    struct settings set = {.seconds = 2, .isa = "auto", .gpu = -1, .conv_algo = "auto"};
    struct workload w = {NULL, 64, 0};
    for (int c; (c = getopt_long(argc, argv, "", option, NULL)) != -1;) {
        switch (c) {
        case 'm':
            w.model = optarg;
            break;
        case 'b':
            w.batch = atoi(optarg);
            break;
        case 'f':
            w.infer = 1;
            break;
        case 's':
            set.seconds = atof(optarg);
            break;
        case 't':
            set.threads = atoi(optarg);
            break;
        case 'i':
            set.isa = optarg;
            break;
        case 'd':
            if (strncmp(optarg, "cuda", 4) == 0)
                set.gpu = optarg[4] == ':' ? atoi(optarg + 5) : 0;
            else if (strcmp(optarg, "cpu") != 0)
                return usage();
            break;
        case 'c':
            set.conv_algo = optarg;
            break;
        default:
            return 2;
        }
    }
    if (w.batch < 1 || optind < argc || !conv_algo_known(set.conv_algo))
        return usage();
    if (w.model) {
        run(&w, &set);
        return 0;
    }
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        run(&list[i], &set);
    return 0;
}
