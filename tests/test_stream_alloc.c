/*
 * A training step and a request allocate nothing, in one process and split over sockets: both
 * neighbours and their transport threads live in this process, and every allocation of all of them
 * is counted.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/alloc_wrap.h"
#include "tests/split_run.h"

struct counts {
    long calls[SPLIT_MAX_STEPS];
};

static void note(void *arg, int step)
{
    struct counts *c = arg;
    c->calls[step] = memory.calls;
}

/* The first step may open what is opened once (the time zone of the log). */
static void check_counts(const struct counts *c, int steps)
{
    assert_true(c->calls[0] > 20);
    for (int i = 1; i < steps; i++)
        if (c->calls[i] != c->calls[0])
            fail_msg("step %d allocated %ld times", i, c->calls[i] - c->calls[i - 1]);
}

struct worker_thread {
    const struct split_run *run;
    const int *port;
    int ret;
};

static void *work(void *arg)
{
    struct worker_thread *w = arg;
    w->ret = split_worker(w->run, 1, w->port);
    return NULL;
}

static void check_run(int ncut, int k, int in_flight, enum dtype wire, enum net_transport transport)
{
    char dir[] = "/tmp/sparse-alloc-XXXXXX", command[64];
    struct counts counts;
    struct split_run r = {
        .model = "small",
        .isa = "auto",
        .dropout = 0.5f,
        .ncut = ncut,
        .cut = {3},
        .batch = 8,
        .micro_batches = k,
        .in_flight = in_flight,
        .steps = 6,
        .samples = 28,
        .wire = wire,
        .transport = transport,
        .sgd = {.lr = 0.1f},
        .dir = mkdtemp(dir),
        .after_step = note,
        .after_step_arg = &counts,
    };
    assert_non_null(r.dir);
    int port[SPLIT_MAX_NODES] = {0, split_free_port()};
    struct worker_thread w = {.run = &r, .port = port};
    pthread_t thread;
    split_held = true;
    if (ncut)
        assert_int_equal(pthread_create(&thread, NULL, work, &w), 0);
    split_read_data(&r, port);
    if (ncut) {
        net_stop(split_worker_net);
        split_held = false;
        pthread_join(thread, NULL);
        assert_int_equal(w.ret, 0);
    }
    check_counts(&counts, r.steps);
    free(r.predictions);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

static void test_in_one_process(void **state)
{
    (void)state;
    check_run(0, 1, 0, DTYPE_F32, NET_AUTO);
    check_run(0, 3, 0, DTYPE_F32, NET_AUTO);
}

static void test_split(void **state)
{
    (void)state;
    check_run(1, 1, 0, DTYPE_F32, NET_AUTO);
    check_run(1, 3, 0, DTYPE_F32, NET_POLL);
    check_run(1, 3, 0, DTYPE_F16, NET_AUTO);
}

static void test_inference(void **state)
{
    (void)state;
    check_run(0, 0, 1, DTYPE_F32, NET_AUTO);
    check_run(1, 0, 1, DTYPE_F32, NET_POLL);
    check_run(1, 0, 3, DTYPE_F16, NET_AUTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_one_process),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_inference),
    };
    log_set_level(LOG_WARNING);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
