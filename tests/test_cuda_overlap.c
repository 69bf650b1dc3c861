/*
 * Micro-batches and requests that compute beside each other on a GPU: on several lanes, in every
 * order, the bits are those of one lane; and the emulator's trace shows that they do so at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/child.h"
#include "tests/cuda_run.h"

static void lanes(const char *n)
{
    CHECK(setenv("SPARSE_CUDA_LANES", n, 1) == 0);
}

/* Into dir[0], in one lane: what is wanted. */
static void in_one_lane(struct split_run *r, struct outcome *want)
{
    r->dir = dir[0];
    lanes("1");
    run_apart(r, "streams=lazy", "", want);
    lanes("");
    r->dir = dir[1];
}

static void check_trainings(struct split_run r, const struct variant v[], size_t n)
{
    struct outcome want, got;
    in_one_lane(&r, &want);
    assert_true(want.loss[0] != want.loss[1] && isfinite(want.loss[0]));
    for (size_t i = 0; i < n; i++) {
        r.transport = v[i].transport;
        r.ncut = v[i].ncut;
        memcpy(r.cut, v[i].cut, sizeof(v[i].cut));
        run_apart(&r, v[i].emu, v[i].graphs, &got);
        check_same_training(v[i].what, &r, &got, &want);
    }
}

static struct split_run plain_run(int k)
{
    struct split_run r = tiny_run("cuda", k);
    r.model = "tiny-plain";
    r.build = tiny_plain;
    return r;
}

static void test_training(void **state)
{
    (void)state;
    static const struct variant v[] = {
        {"no graphs", "streams=rand,seed=2", "0", NET_AUTO, 0, {0}},
        {"eager", "streams=eager", "", NET_AUTO, 0, {0}},
        {"integrated", "integrated,streams=rand,seed=3", "", NET_AUTO, 0, {0}},
        {"cut at 3", "streams=rand,seed=4", "", NET_AUTO, 1, {3}},
        {"cut at 5 and 9", "streams=eager", "0", NET_POLL, 2, {5, 9}},
    };
    check_trainings(plain_run(4), v, sizeof(v) / sizeof(v[0]));
    struct split_run r = plain_run(3);
    r.sgd = (struct sgd){.lr = 0.05f, .momentum = 0.9f, .weight_decay = 1e-3f};
    check_trainings(r, v, 1);
}

/* Running statistics move in the order of the micro-batches, whatever the order of the streams. */
static void test_running_statistics(void **state)
{
    (void)state;
    static const struct variant v[] = {
        {"no graphs", "streams=rand,seed=5", "0", NET_AUTO, 0, {0}},
        {"eager", "streams=eager", "", NET_AUTO, 0, {0}},
    };
    check_trainings(tiny_run("cuda", 4), v, sizeof(v) / sizeof(v[0]));
}

static void test_inference(void **state)
{
    (void)state;
    static const struct variant v[] = {
        {"no graphs", "streams=rand,seed=2", "0", NET_AUTO, 0, {0}},
        {"eager", "streams=eager", "", NET_AUTO, 0, {0}},
        {"integrated", "integrated,streams=eager", "", NET_AUTO, 0, {0}},
        {"source and worker", "streams=rand,seed=3", "", NET_AUTO, 1, {0}},
        {"cut at 6 and 10", "streams=eager", "", NET_POLL, 2, {6, 10}},
    };
    struct split_run r = tiny_run("cuda", 1);
    struct outcome want, got;
    r.in_flight = 5; /* more than there are lanes */
    in_one_lane(&r, &want);
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        r.transport = v[i].transport;
        r.ncut = v[i].ncut;
        memcpy(r.cut, v[i].cut, sizeof(v[i].cut));
        run_apart(&r, v[i].emu, v[i].graphs, &got);
        check_same_predictions(v[i].what, &got, &want);
    }
}

/* Of what three requests, or the three micro-batches of one step, give. */
static void pass_sum(struct stream *s, struct loader *loader, double *sum)
{
    *sum = 0;
    if (loader) {
        struct feed feed = {.loader = loader};
        struct step_result result;
        CHECK(stream_step(s, &feed, &result) == 0);
        *sum = result.loss_sum;
        return;
    }
    for (uint32_t r = 0; r < 3; r++) {
        float *in;
        CHECK(stream_request(s, &in) == 0);
        for (int i = 0; i < 28 * 28; i++)
            in[i] = (float)((i + (int)r) % 7);
        CHECK(stream_send(s, r, 1) == 0);
    }
    for (int r = 0; r < 3; r++) {
        struct stream_answer answer;
        CHECK(stream_answer(s, &answer) == 0);
        for (int i = 0; i < 10; i++)
            *sum += tensor_floats(&answer.out)[i] * (double)(r * 10 + i + 1);
        stream_answer_done(s);
    }
}

/* Weights that were queued before the passes are there, in whichever lanes those are. */
static const char *late_weights(bool trains)
{
    struct split_run r = {.isa = "cuda", .build = tiny_plain, .micro_batches = 3, .sgd.lr = 0.1f};
    struct stream_plan plan = {.batch = trains ? 3 : 1, .micro_batches = 3, .seed = 1};
    struct dataset_want want = {.name = "shapes", .c = 1, .h = 28, .w = 28, .seed = 1};
    struct node node;
    struct stream *s;
    struct dataset *ds;
    struct loader loader;
    double sum[2];
    plan.in_flight = r.in_flight = trains ? 0 : 3;
    split_node_open(&node, &r, 0, -1);
    CHECK(dataset_open(&ds, &want) == 0 && loader_open(&loader, ds, 3, 0, false, 1) == 0);
    CHECK(stream_open(&s, &node, &plan) == 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20; i++) /* much before what counts */
            model_init(node.model, 3);
        model_init(node.model, 2);
        CHECK(round == 0 || device_sync(node.dev) == 0);
        pass_sum(s, trains ? &loader : NULL, &sum[round]);
    }
    stream_close(s);
    loader_close(&loader);
    dataset_close(ds);
    split_node_close(&node);
    return sum[0] == sum[1] ? NULL : "passes began before the weights were there";
}

static const char *late_training(void)
{
    return late_weights(true);
}

static const char *late_inference(void)
{
    return late_weights(false);
}

/* Losses of these batches of shuffled epochs, each step's next batch read ahead or not. */
static void run_batches(const uint64_t at[][2], int n, uint64_t epochs, int k, double loss[])
{
    struct split_run r = {.isa = "cuda", .build = tiny_plain, .micro_batches = k, .sgd.lr = 0.1f};
    struct stream_plan plan = {.batch = 2, .micro_batches = k, .seed = 1};
    struct dataset_want want = {.name = "shapes", .c = 1, .h = 28, .w = 28, .seed = 1};
    struct node node;
    struct stream *s;
    struct dataset *ds;
    struct loader loader;
    split_node_open(&node, &r, 0, -1);
    CHECK(dataset_open(&ds, &want) == 0);
    ds->count = 9;
    CHECK(loader_open(&loader, ds, 2, 0, true, 1) == 0 && stream_open(&s, &node, &plan) == 0);
    for (int i = 0; i < n; i++) {
        struct feed feed = {.loader = &loader,
                            .epoch = at[i][0],
                            .batch = at[i][1],
                            .epochs = epochs,
                            .step = (uint32_t)i};
        struct step_result result;
        CHECK(stream_step(s, &feed, &result) == 0);
        loss[i] = result.loss_sum;
    }
    stream_close(s);
    loader_close(&loader);
    dataset_close(ds);
    split_node_close(&node);
}

/* In order, over an epoch's end and its short batch; a step that is done again, or out of order. */
static const char *batches_ahead(void)
{
    static const uint64_t at[][2] = {{0, 0}, {0, 1}, {0, 1}, {0, 3}, {0, 4},
                                     {1, 0}, {0, 1}, {0, 4}, {1, 0}};
    enum { N = sizeof(at) / sizeof(at[0]) };
    double ahead[N], alone[N];
    for (int k = 1; k <= 2; k++) {
        run_batches(at, N, 0, k, alone);
        run_batches(at, N, 2, k, ahead);
        for (int i = 0; i < N; i++)
            if (ahead[i] != alone[i] || (i > 0 && alone[i] == alone[i - 1])) {
                fprintf(stderr, "K = %d, loss %d is %.9g, not %.9g\n", k, i, ahead[i], alone[i]);
                return "what was read ahead is not the batch";
            }
    }
    return NULL;
}

static const char *finds_gpu(void)
{
    return have_gpu() ? NULL : "no GPU";
}

static void test_late_weights(void **state)
{
    (void)state;
    if (!child_says(finds_gpu))
        skip();
    check_child("streams=lazy", late_training, NULL);
    check_child("streams=lazy", late_inference, NULL);
}

static void test_ahead(void **state)
{
    (void)state;
    static const char *const orders[] = {"streams=lazy", "streams=rand,seed=1", "integrated"};
    if (!child_says(finds_gpu))
        skip();
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
        check_child(orders[i], batches_ahead, NULL);
}

#ifdef EMULATED
enum { STREAMS = 32, UP = 3 }; /* UP: the stream of copies to the GPU, the third that is made */

struct trace {
    int streams;   /* that ran kernels */
    int ahead;     /* copies to the GPU in the middle of a forward */
    int comebacks; /* times that a stream ran a kernel after another had run some since its last */
};

static struct trace traced(struct split_run r)
{
    char path[128], emu[256], name[128];
    struct outcome got;
    struct trace t = {0, 0, 0};
    bool forward = false;
    snprintf(path, sizeof(path), "%s/trace", dir[0]);
    unlink(path);
    snprintf(emu, sizeof(emu), "streams=rand,seed=7,trace=%s", path);
    run_apart(&r, emu, "0", &got);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    bool ran[STREAMS] = {false};
    for (int stream, last = 0; fscanf(f, "%d %127[^\n]", &stream, name) == 2;) {
        assert_true(stream > 0 && stream < STREAMS);
        forward = !strcmp(name, "maxpool_forward") || (forward && strcmp(name, "softmax_xent"));
        t.ahead += forward && stream == UP;
        if (!strcmp(name, "copy") || !strcmp(name, "memset"))
            continue;
        t.streams += !ran[stream];
        t.comebacks += ran[stream] && last != stream;
        ran[stream] = true;
        last = stream;
    }
    fclose(f);
    return t;
}

/* Without lanes, kernels of all micro-batches are one queue. With them they mix. */
static void test_overlap(void **state)
{
    (void)state;
    struct split_run train = plain_run(4), infer = tiny_run("cuda", 1),
                     ordered = tiny_run("cuda", 4);
    infer.in_flight = 3;
    struct trace t = traced(train);
    assert_int_equal(t.streams, 5); /* four micro-batches, and lane 0 with the weights' gradients */
    assert_true(t.comebacks > 100);
    t = traced(infer);
    assert_int_equal(t.streams, 4); /* three requests, and lane 0: the weights, before the first */
    assert_true(t.comebacks > 10);
    t = traced(ordered);
    assert_int_equal(t.streams, 1);
    t = traced(plain_run(1)); /* each step sees the update of the one before */
    assert_int_equal(t.streams, 1);
    assert_true(t.ahead > 0); /* but the next one's input comes meanwhile */
    lanes("1");
    t = traced(train);
    lanes("");
    assert_int_equal(t.streams, 1);
    assert_int_equal(t.comebacks, 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training),  cmocka_unit_test(test_running_statistics),
        cmocka_unit_test(test_inference), cmocka_unit_test(test_late_weights),
        cmocka_unit_test(test_ahead),
#ifdef EMULATED
        cmocka_unit_test(test_overlap),
#endif
    };
    log_set_level(LOG_WARNING);
    return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
