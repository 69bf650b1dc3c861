/*
 * The run's side of the monitor: all that was counted arrives; nothing is waited for where there is
 * no monitor, or one that does not answer; a worker's benchmarks begin with its tasks.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "monitor/client.h"
#include "tests/monitor_talk.h"

static struct monitor_client *begin(const struct talk *t, const char *prefix, double gap)
{
    struct monitor_client_options opt = {.data_dir = t->dir, .prefix = prefix, .gap_seconds = gap};
    struct monitor_client *c = monitor_client_open(&opt);
    assert_non_null(c);
    return c;
}

/* Until the i-th file with this prefix is there and says so many samples and tasks together: a
 * loaded machine takes its time. */
static void await_sum(const struct talk *t, const char *prefix, int i, unsigned long long n)
{
    unsigned long long sum = 0;
    for (int k = 0; k < 400; k++) {
        bool there = talk_csv(t, prefix, i) != NULL;
        int rows;
        struct talk_row r = {0};
        if (there)
            r = talk_last(t, prefix, i, &rows);
        sum = r.samples + r.tasks;
        if (there && sum == n)
            return;
        talk_sleep(0.05);
    }
    fail_msg("%s, file %d: %llu samples and tasks, wanted %llu", prefix, i, sum, n);
}

static void test_all_arrives(void **state)
{
    struct talk t;
    int rows;
    talk_folder(&t);
    struct monitor_server_options opt = talk_options(&t);
    talk_begin(&t, &opt);
    struct monitor_client *a = begin(&t, "a", 0), *b = begin(&t, "dir/b c", 0);
    for (int i = 0; i < 1000; i++) {
        monitor_batch(a, 7, i == 999 ? (double)NAN : 1.5);
        monitor_task(b, 1, 4, 2.5);
        if (i % 100 == 0)
            talk_sleep(0.02);
    }
    monitor_client_close(a);
    monitor_client_close(b);
    struct talk_row r = talk_last(&t, "a-2", 0, &rows); /* at once: the stop writes it */
    assert_int_equal(r.samples, 7000);
    assert_int_equal(r.tasks, 0);
    r = talk_last(&t, "dir_b_c-2", 0, &rows);
    assert_int_equal(r.samples, 0);
    assert_int_equal(r.tasks, 1000);
    monitor_batch(NULL, 1, 0);
    monitor_task(NULL, 1, 1, 0);
    monitor_parts(NULL, (uint64_t[EVENT_PART_COUNT]){0});
    monitor_begin(NULL, "x");
    monitor_client_close(NULL);
    talk_end(&t);
    talk_remove(&t);
}

static void test_a_run_is_there_at_once(void **state)
{
    struct talk t;
    talk_folder(&t);
    struct monitor_server_options opt = talk_options(&t);
    talk_begin(&t, &opt);
    struct monitor_client *c = begin(&t, "aio", 0), *w = begin(&t, "worker", 5);
    await_sum(&t, "aio", 0, 0);
    assert_int_equal(talk_files(&t, "worker"), 0); /* no task yet */
    monitor_task(w, 1, 4, 2.5);
    await_sum(&t, "worker", 0, 1);
    monitor_client_close(c);
    monitor_client_close(w);
    talk_end(&t);
    talk_remove(&t);
}

/* The monitor would let the benchmark live on: it is the worker that begins another. */
static void test_gap_begins_anew(void **state)
{
    struct talk t;
    int rows;
    talk_folder(&t);
    struct monitor_server_options opt = talk_options(&t);
    talk_begin(&t, &opt);
    struct monitor_client *c = begin(&t, "w", 1);
    for (int burst = 0; burst < 2; burst++) {
        for (int i = 0; i < 8; i++)
            monitor_task(c, 1, 4, 2.5);
        talk_sleep(1.6);
    }
    monitor_task(c, 1, 4, 2.5);
    monitor_client_close(c);
    talk_end(&t);
    assert_int_equal(talk_files(&t, "w-2"), 3);
    unsigned long long tasks[3];
    for (int i = 0; i < 3; i++)
        tasks[i] = talk_last(&t, "w-2", i, &rows).tasks;
    assert_true(tasks[0] == 8 && tasks[1] == 8 && tasks[2] == 1);
    talk_remove(&t);
}

/* A stream of other words, without a pause: what was counted before it stays where it belongs. */
static void test_begin(void **state)
{
    struct talk t;
    int rows;
    talk_folder(&t);
    struct monitor_server_options opt = talk_options(&t);
    talk_begin(&t, &opt);
    struct monitor_client *c = begin(&t, "own", 30);
    assert_int_equal(talk_files(&t, ""), 0);
    monitor_begin(c, "first"); /* before any task: nothing is of the old name */
    for (int i = 0; i < 5; i++)
        monitor_task(c, 1, 4, 2.5);
    monitor_begin(c, "first");
    monitor_task(c, 1, 4, 2.5);
    talk_sleep(0.3);
    monitor_task(c, 1, 4, 2.5);
    monitor_begin(c, "second");
    monitor_task(c, 2, 8, 2.5);
    talk_sleep(0.3);
    monitor_begin(c, "third");
    await_sum(&t, "third", 0, 0);
    monitor_client_close(c);
    talk_end(&t);
    assert_int_equal(talk_files(&t, ""), 3);
    assert_int_equal(talk_last(&t, "first-2", 0, &rows).tasks, 7);
    assert_int_equal(talk_last(&t, "second-2", 0, &rows).tasks, 2);
    talk_remove(&t);
}

/* One that comes late is told the sum, one that comes again what is new. */
static void test_monitor_comes_and_goes(void **state)
{
    struct talk t;
    talk_folder(&t);
    struct monitor_server_options opt = talk_options(&t);
    struct monitor_client *c = begin(&t, "r", 0);
    monitor_batch(c, 100, 1);
    talk_sleep(0.2);
    talk_begin(&t, &opt);
    await_sum(&t, "r-2", 0, 100);
    monitor_batch(c, 10, 1);
    await_sum(&t, "r-2", 0, 110);
    talk_end(&t);
    monitor_batch(c, 1, 1);
    talk_sleep(0.4);
    talk_begin(&t, &opt);
    await_sum(&t, "r-2", 1, 1);
    monitor_batch(c, 3, 1);
    monitor_client_close(c);
    talk_end(&t);
    await_sum(&t, "r-2", 1, 4);
    talk_remove(&t);
}

/* Far less than an answer is waited for while the run goes on. */
static const double ENDS_SECONDS = 2.5;

static double seconds_with(const struct talk *t)
{
    struct monitor_client *c = begin(t, "x", 0);
    talk_sleep(0.3);
    uint64_t start = clock_now_ns();
    for (int i = 0; i < 100000; i++)
        monitor_batch(c, 1, 0);
    assert_true(clock_seconds_since(start) < 1); /* 10 us each would be far too much */
    monitor_client_close(c);
    return clock_seconds_since(start);
}

/* None, one that accepts and says nothing, one that does not even accept. */
static void test_nobody_answers(void **state)
{
    struct talk t;
    struct sockaddr_un a;
    talk_folder(&t);
    assert_true(seconds_with(&t) < ENDS_SECONDS);
    assert_int_equal(monitor_address(&a, t.dir), 0);
    for (int queue = 0; queue < 2; queue++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(listen(fd, queue ? 100 : 0), 0);
        int full = talk_connect(&t);
        assert_true(seconds_with(&t) < ENDS_SECONDS);
        close(full);
        close(fd);
        unlink(a.sun_path);
    }
    talk_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_arrives),     cmocka_unit_test(test_a_run_is_there_at_once),
        cmocka_unit_test(test_gap_begins_anew), cmocka_unit_test(test_monitor_comes_and_goes),
        cmocka_unit_test(test_nobody_answers),  cmocka_unit_test(test_begin),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
