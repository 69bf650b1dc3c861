/*
 * Runs of a small model on a GPU, for the tests of the engine there: each run in a process of its
 * own, because a process that has used CUDA cannot fork, with settings of the emulated GPU; and
 * what two runs must have in common. Include after cmocka.h.
 */
#ifndef TESTS_CUDA_RUN_H
#define TESTS_CUDA_RUN_H

#include <math.h>
#include <stdint.h>
#include <sys/mman.h>

#include "models/build.h"
#include "tests/split_run.h"

enum { MAX_PREDICTIONS = 1000, SKIPPED = 77 };

static char dir[2][64]; /* [0]: of what is wanted, [1]: of what is got */

struct outcome {
    double loss[SPLIT_MAX_STEPS];
    size_t npredictions;
    float predictions[MAX_PREDICTIONS];
};

/* Everything of VGG, few numbers: the repeated input, dropout. batchnorm: it counts as a layer. */
static inline struct model *tiny(const char *name, bool batchnorm)
{
    struct tensor in = tensor_f32(4, (int[]){1, 1, 28, 28});
    struct model *m;
    CHECK(model_begin(&m, name, &in) == 0);
    CHECK(model_add(m, conv2d_new(1, 4, 3, 1, 1, true, INIT_VGG), "a") == 0);
    CHECK(model_add(m, activation_new(ACT_RELU), "b") == 0);
    CHECK(model_add(m, maxpool_new(4, 4, 0, 0), "c") == 0);
    CHECK(model_add(m, conv2d_new(4, 6, 3, 1, 1, true, INIT_PYTORCH), "d") == 0);
    if (batchnorm)
        CHECK(model_add(m, batchnorm_new(6, 0.1f, 1e-5f), "e") == 0);
    CHECK(model_add(m, activation_new(ACT_RELU), "f") == 0);
    CHECK(model_add(m, maxpool_new(7, 7, 0, 0), "g") == 0);
    CHECK(model_add(m, avgpool_new(2, 2), "h") == 0);
    CHECK(model_add(m, flatten_new(), "i") == 0);
    CHECK(model_add(m, linear_repeated_new(6, 2, 2, 12, INIT_PYTORCH), "j") == 0);
    CHECK(model_add(m, activation_new(ACT_RELU), "k") == 0);
    CHECK(model_add(m, dropout_new(0.5f), "l") == 0);
    CHECK(model_add(m, linear_new(12, 10, INIT_PYTORCH), "m") == 0);
    m->classes = 10;
    CHECK(model_finish(m) == 0);
    return m;
}

static inline struct model *tiny_vgg(void)
{
    return tiny("tiny-vgg", true);
}

/* Without running statistics, so that micro-batches run in any order. */
static inline struct model *tiny_plain(void)
{
    return tiny("tiny-plain", false);
}

/* Steps enough for what is recorded to be replayed, then a short batch, then whole ones again. */
static inline struct split_run tiny_run(const char *isa, int k)
{
    return (struct split_run){
        .model = "tiny-vgg",
        .build = tiny_vgg,
        .isa = isa,
        .batch = 4,
        .micro_batches = k,
        .steps = 6,
        .samples = 15,
        .sgd = {.lr = 0.05f},
        .dir = dir[0],
    };
}

static inline bool have_gpu(void)
{
    int count = 0;
    return device_cuda_count(&count) == 0;
}

static inline bool have_math(enum math math)
{
    struct device *d;
    if (!have_gpu())
        return false;
    if (math == MATH_FP32)
        return true;
    CHECK(device_cuda_open(&d, 0) == 0);
    bool have = device_cuda_use_math(d, math) == 0;
    device_close(d);
    return have;
}

/* emu: settings of the emulated GPU. graphs "0": without. */
static inline void run_apart(struct split_run *r, const char *emu, const char *graphs,
                             struct outcome *out)
{
    struct outcome *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int status;
        setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failure here is no test's result */
        setenv("CUDA_EMU", emu, 1);
        setenv("SPARSE_CUDA_GRAPHS", graphs, 1);
        pid_t looks = fork();
        if (looks == 0)
            _exit(strcmp(r->isa, "cuda") == 0 && !have_math(r->math) ? SKIPPED : 0);
        CHECK(waitpid(looks, &status, 0) == looks && WIFEXITED(status));
        if (WEXITSTATUS(status))
            _exit(WEXITSTATUS(status));
        split_run(r);
        memcpy(shared->loss, r->loss, sizeof(shared->loss));
        CHECK(r->npredictions <= MAX_PREDICTIONS);
        shared->npredictions = r->npredictions;
        memcpy(shared->predictions, r->predictions ? r->predictions : shared->predictions,
               r->npredictions * sizeof(float));
        free(r->predictions);
        exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    *out = *shared;
    munmap(shared, sizeof(*shared));
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        skip();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s on %s (%s) ended with status 0x%x", r->model, r->isa, emu, (unsigned)status);
}

/* The numbers of a file of weights. */
static inline float *numbers_of(const struct split_run *r, size_t *n)
{
    char path[512];
    uint64_t head;
    snprintf(path, sizeof(path), "%s/whole.safetensors", r->dir);
    FILE *f = fopen(path, "rb");
    CHECK(f && fread(&head, sizeof(head), 1, f) == 1 && fseek(f, 0, SEEK_END) == 0);
    size_t bytes = (size_t)ftell(f) - sizeof(head) - head;
    float *x = malloc(bytes);
    CHECK(x && fseek(f, (long)(sizeof(head) + head), SEEK_SET) == 0);
    CHECK(fread(x, 1, bytes, f) == bytes);
    fclose(f);
    *n = bytes / sizeof(float);
    return x;
}

static inline void check_close_numbers(const char *what, const float *got, const float *want,
                                       size_t n, double limit)
{
    double error = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        sum += (double)want[i] * want[i];
    }
    if (!(error <= limit * sum))
        fail_msg("%s: NMSE %.3g > %.3g", what, error / sum, limit);
}

/* want is in dir[0], got in dir[1]. */
static inline void check_same_training(const char *what, const struct split_run *r,
                                       const struct outcome *got, const struct outcome *want)
{
    char a[512], b[512];
    for (int i = 0; i < r->steps; i++)
        if (memcmp(&got->loss[i], &want->loss[i], sizeof(double)))
            fail_msg("%s: loss of step %d is %.17g, not %.17g", what, i, got->loss[i],
                     want->loss[i]);
    snprintf(a, sizeof(a), "%s/whole.safetensors", dir[1]);
    snprintf(b, sizeof(b), "%s/whole.safetensors", dir[0]);
    if (!split_same_files(a, b))
        fail_msg("%s: weights differ", what);
}

static inline void check_same_predictions(const char *what, const struct outcome *got,
                                          const struct outcome *want)
{
    assert_int_equal(got->npredictions, want->npredictions);
    if (memcmp(got->predictions, want->predictions, want->npredictions * sizeof(float)))
        fail_msg("%s: predictions differ", what);
}

struct variant {
    const char *what, *emu, *graphs;
    enum net_transport transport;
    int ncut, cut[SPLIT_MAX_NODES - 1];
};

static inline int make_dirs(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(dir[i], sizeof(dir[i]), "/tmp/test_cuda_run_%d_XXXXXX", i);
        if (!mkdtemp(dir[i]))
            return -1;
    }
    return 0;
}

static inline int remove_dirs(void **state)
{
    (void)state;
    char command[256];
    snprintf(command, sizeof(command), "rm -rf %s %s", dir[0], dir[1]);
    return system(command);
}

#endif
