/*
 * Training and inference on a GPU, whole and split over processes: the numbers of the CPU's
 * reference within rounding; the same bits run to run, split or whole, by graphs or without, with
 * memory of its own or the CPU's. The emulated GPU runs what is queued as late, or in as odd an
 * order, as a real one may. Every run is in a process of its own, because a process that has used
 * CUDA cannot fork.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "models/build.h"
#include "tests/split_run.h"

enum { MAX_PREDICTIONS = 1000, SKIPPED = 77 };

static char dir[2][64];

struct outcome {
    double loss[SPLIT_MAX_STEPS];
    size_t npredictions;
    float predictions[MAX_PREDICTIONS];
};

/* Everything of VGG, few numbers: the repeated input, dropout, batch-norm. */
static struct model *tiny_vgg(void)
{
    struct tensor in = tensor_f32(4, (int[]){1, 1, 28, 28});
    struct model *m;
    CHECK(model_begin(&m, "tiny-vgg", &in) == 0);
    CHECK(model_add(m, conv2d_new(1, 4, 3, 1, 1, true, INIT_VGG), "a") == 0);
    CHECK(model_add(m, activation_new(ACT_RELU), "b") == 0);
    CHECK(model_add(m, maxpool_new(4, 4, 0, 0), "c") == 0);
    CHECK(model_add(m, conv2d_new(4, 6, 3, 1, 1, true, INIT_PYTORCH), "d") == 0);
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

/* Steps enough for what is recorded to be replayed, then a short batch, then whole ones again. */
static struct split_run tiny_run(const char *isa, int k)
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

static bool have_gpu(void)
{
    int count = 0;
    return device_cuda_count(&count) == 0;
}

/* emu: settings of the emulated GPU. graphs "0": without. */
static void run_apart(struct split_run *r, const char *emu, const char *graphs, struct outcome *out)
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
            _exit(strcmp(r->isa, "cuda") == 0 && !have_gpu() ? SKIPPED : 0);
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
static float *numbers_of(const struct split_run *r, size_t *n)
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

static void check_close_numbers(const char *what, const float *got, const float *want, size_t n,
                                double limit)
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
static void check_same_training(const char *what, const struct split_run *r,
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

/* On the CPU by plain loops into dir[0], on the GPU into dir[1]. */
static void check_reference(struct split_run r, double loss_limit, double weights_limit)
{
    struct outcome want, got;
    size_t n, m;
    r.isa = "reference";
    run_apart(&r, "", "", &want);
    r.isa = "cuda";
    r.dir = dir[1];
    run_apart(&r, "", "", &got);
    for (int i = 0; i < r.steps; i++)
        if (!(fabs(got.loss[i] - want.loss[i]) <= loss_limit * want.loss[i]))
            fail_msg("loss of step %d is %.9g, not %.9g", i, got.loss[i], want.loss[i]);
    float *y = numbers_of(&r, &n);
    r.dir = dir[0];
    float *x = numbers_of(&r, &m);
    assert_int_equal(n, m);
    check_close_numbers("weights", y, x, n, weights_limit);
    free(x);
    free(y);
}

static void test_tiny_reference(void **state)
{
    (void)state;
    check_reference(tiny_run("", 1), 1e-5, 1e-10);
    struct split_run r = tiny_run("", 2);
    r.sgd = (struct sgd){.lr = 0.05f, .momentum = 0.9f, .weight_decay = 1e-3f};
    check_reference(r, 1e-5, 1e-10);
}

static void test_small_reference(void **state)
{
    (void)state;
    struct split_run r = tiny_run("", 1);
    r.build = NULL;
    r.model = "small";
    r.steps = 3;
    check_reference(r, 1e-5, 1e-10);
}

struct variant {
    const char *what, *emu, *graphs;
    enum net_transport transport;
    int ncut, cut[SPLIT_MAX_NODES - 1];
};

/* Each variant's bits are those of one run of the whole model. */
static void check_variants(int k, const struct variant variants[], size_t n)
{
    struct split_run r = tiny_run("cuda", k);
    struct outcome want, got;
    run_apart(&r, "streams=lazy", "", &want);
    assert_true(want.loss[0] != want.loss[1] && isfinite(want.loss[0]));
    for (size_t i = 0; i < n; i++) {
        const struct variant *v = &variants[i];
        struct split_run split = r;
        split.dir = dir[1];
        split.transport = v->transport;
        split.ncut = v->ncut;
        memcpy(split.cut, v->cut, sizeof(v->cut));
        run_apart(&split, v->emu, v->graphs, &got);
        check_same_training(v->what, &split, &got, &want);
    }
}

static void test_one_micro_batch(void **state)
{
    (void)state;
    static const struct variant v[] = {
        {"again", "streams=rand", "", NET_AUTO, 0, {0}},
        {"no graphs", "streams=rand", "0", NET_AUTO, 0, {0}},
        {"integrated", "integrated", "", NET_AUTO, 0, {0}},
        {"the driver's pages, cut at 6", "no-register", "", NET_AUTO, 1, {6}},
        {"the driver's pages, integrated", "integrated,fail-register", "", NET_POLL, 1, {9}},
        {"source and worker", "streams=rand,seed=2", "", NET_AUTO, 1, {0}},
        {"cut at 3", "streams=eager", "", NET_POLL, 1, {3}},
        {"cut at 6 and 10", "streams=lazy", "", NET_AUTO, 2, {6, 10}},
        {"integrated, cut at 0 and 9", "integrated", "0", NET_AUTO, 2, {0, 9}},
    };
    check_variants(1, v, sizeof(v) / sizeof(v[0]));
}

static void test_four_micro_batches(void **state)
{
    (void)state;
    static const struct variant v[] = {
        {"no graphs", "streams=rand", "0", NET_AUTO, 0, {0}},
        {"cut at 6 and 12", "streams=rand,seed=3", "", NET_AUTO, 2, {6, 12}},
        {"integrated, cut at 0 and 6", "integrated", "", NET_AUTO, 2, {0, 6}},
        {"source, cut at 9 and 11", "streams=lazy", "", NET_POLL, 3, {0, 9, 11}},
    };
    check_variants(4, v, sizeof(v) / sizeof(v[0]));
}

/* f16 on the wire: conversions on the device, of what was copied there. */
static void test_half(void **state)
{
    (void)state;
    struct split_run r = tiny_run("cuda", 2);
    struct outcome want, got;
    r.wire = DTYPE_F16;
    r.ncut = 2;
    memcpy(r.cut, (int[]){0, 6}, 2 * sizeof(int));
    run_apart(&r, "streams=rand", "", &want);
    r.dir = dir[1];
    run_apart(&r, "integrated", "", &got);
    check_same_training("integrated", &r, &got, &want);
    struct split_run whole = tiny_run("cuda", 2);
    run_apart(&whole, "", "", &want);
    assert_true(got.loss[0] != want.loss[0] && fabs(got.loss[0] - want.loss[0]) < 1e-2);
}

static void check_same_predictions(const char *what, const struct outcome *got,
                                   const struct outcome *want)
{
    assert_int_equal(got->npredictions, want->npredictions);
    if (memcmp(got->predictions, want->predictions, want->npredictions * sizeof(float)))
        fail_msg("%s: predictions differ", what);
}

static void test_inference(void **state)
{
    (void)state;
    struct split_run r = tiny_run("reference", 1);
    struct outcome reference, want, got;
    r.in_flight = 1;
    run_apart(&r, "", "", &reference);
    r.isa = "cuda";
    run_apart(&r, "streams=lazy", "", &want);
    assert_int_equal(want.npredictions, reference.npredictions);
    check_close_numbers("predictions", want.predictions, reference.predictions, want.npredictions,
                        1e-11);
    static const struct variant v[] = {
        {"no graphs", "streams=rand", "0", NET_AUTO, 0, {0}},
        {"integrated", "integrated", "", NET_AUTO, 0, {0}},
        {"source", "streams=rand,seed=2", "", NET_AUTO, 1, {0}},
        {"cut at 6 and 10", "streams=rand", "", NET_POLL, 2, {6, 10}},
        {"integrated, cut at 0 and 9", "integrated", "", NET_AUTO, 2, {0, 9}},
    };
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct split_run split = r;
        split.in_flight = 3;
        split.transport = v[i].transport;
        split.ncut = v[i].ncut;
        memcpy(split.cut, v[i].cut, sizeof(v[i].cut));
        run_apart(&split, v[i].emu, v[i].graphs, &got);
        check_same_predictions(v[i].what, &got, &want);
    }
}

static int make_dirs(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(dir[i], sizeof(dir[i]), "/tmp/test_cuda_engine_%d_XXXXXX", i);
        if (!mkdtemp(dir[i]))
            return -1;
    }
    return 0;
}

static int remove_dirs(void **state)
{
    (void)state;
    char command[256];
    snprintf(command, sizeof(command), "rm -rf %s %s", dir[0], dir[1]);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny_reference),
        cmocka_unit_test(test_small_reference),
        cmocka_unit_test(test_one_micro_batch),
        cmocka_unit_test(test_four_micro_batches),
        cmocka_unit_test(test_half),
        cmocka_unit_test(test_inference),
    };
    log_set_level(LOG_WARNING);
    return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
