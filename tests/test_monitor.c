/*
 * The monitor's server: what the original's clients send, byte for byte; the rows it writes; what
 * nobody should send; runs that fall silent; sockets that were left, or are another's.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "monitor/event.h"
#include "tests/monitor_talk.h"

/* Python's json.dumps of the original's events, with its spaces. */
static const char original_start[] =
    "{\"benchmark_id\": \"9f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d\", \"event\": \"start\", "
    "\"log_file_prefix\": \"benchmark_learning-aio-amd64-VGG_unsplit-1-64\"}";
static const char original_batch[] =
    "{\"benchmark_id\": \"9f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d\", \"event\": \"batch_processed\", "
    "\"batch_size\": 64}";
static const char later_batch[] =
    "{\"benchmark_id\": \"9f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d\", \"event\": \"batch_processed\", "
    "\"batch_size\": 32, \"loss\": null}";
static const char original_task[] =
    "{\"benchmark_id\": \"9f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d\", \"event\": \"task_processed\"}";
static const char later_stop[] =
    "{\"benchmark_id\": \"9f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d\", \"event\": \"stop_benchmark\"}";
static const char prefix[] = "benchmark_learning-aio-amd64-VGG_unsplit-1-64-2";

static void test_original_events(void **state)
{
    struct talk t;
    int rows;
    talk_folder(&t);
    struct monitor_server_options opt = talk_options(&t);
    talk_begin(&t, &opt);
    assert_string_equal(talk_say(&t, original_start), "ACK");
    assert_string_equal(talk_say(&t, original_batch), "ACK");
    talk_network(&t, 5300, 7500);
    assert_string_equal(talk_say(&t, later_batch), "ACK");
    assert_string_equal(talk_say(&t, original_task), "ACK");
    assert_string_equal(talk_say(&t, original_task), "ACK");
    talk_sleep(0.3);
    struct talk_row r = talk_last(&t, prefix, 0, &rows);
    assert_true(rows >= 3); /* 20 a second */
    assert_true(r.timestamp > 0.15);
    assert_int_equal(r.samples, 96);
    assert_int_equal(r.tasks, 2);
    assert_int_equal(r.recv, 300);
    assert_int_equal(r.sent, 500);
    assert_string_equal(talk_say(&t, later_stop), "ACK");
    talk_last(&t, prefix, 0, &rows);
    talk_sleep(0.2);
    int later;
    talk_last(&t, prefix, 0, &later);
    assert_int_equal(later, rows); /* it was stopped */
    talk_end(&t);
    talk_remove(&t);
}

/* %Y%m%d-%H%M%S behind the prefix, and a number where two runs begin in one second. */
static void test_names(void **state)
{
    struct talk t;
    talk_folder(&t);
    struct monitor_server_options opt = talk_options(&t);
    talk_begin(&t, &opt);
    for (int i = 0; i < 3; i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 "{\"benchmark_id\":\"run%d\",\"event\":\"start\",\"log_file_prefix\":\"p\"}", i);
        assert_string_equal(talk_say(&t, text), "ACK");
    }
    assert_int_equal(talk_files(&t, "p-2"), 3);
    assert_string_equal(talk_say(&t, "{\"benchmark_id\":\"run1\",\"event\":\"batch_processed\","
                                     "\"batch_size\":5}"),
                        "ACK");
    talk_end(&t); /* a last row for each */
    int rows;
    unsigned long long samples = 0;
    for (int i = 0; i < 3; i++)
        samples += talk_last(&t, "p-2", i, &rows).samples;
    assert_int_equal(samples, 5);

    char path[TALK_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/stats", t.dir);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        struct tm tm;
        const char *rest = strptime(e->d_name, "p-%Y%m%d-%H%M%S", &tm);
        assert_non_null(rest);
        assert_true(!strcmp(rest, ".csv") || !strcmp(rest, "-2.csv") || !strcmp(rest, "-3.csv"));
    }
    closedir(d);
    talk_remove(&t);
}

/* The run's events are followed, whatever else comes in between. */
static void test_hostile(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "null",
        "\"start\"",
        "{}",
        "{} {}",
        "\xff\xfe{}",
        "{\"benchmark_id\":\"x\"}",
        "{\"benchmark_id\":7,\"event\":\"start\",\"log_file_prefix\":\"evil\"}",
        "{\"benchmark_id\":\"\",\"event\":\"start\",\"log_file_prefix\":\"evil\"}",
        "{\"benchmark_id\":\"x\",\"event\":\"start\"}",
        "{\"benchmark_id\":\"x\",\"event\":\"start\",\"log_file_prefix\":\"../evil\"}",
        "{\"benchmark_id\":\"x\",\"event\":\"start\",\"log_file_prefix\":\"/tmp/evil\"}",
        "{\"benchmark_id\":\"x\",\"event\":\"start\",\"log_file_prefix\":\"..\"}",
        "{\"benchmark_id\":\"x\",\"event\":\"start\",\"log_file_prefix\":\"a\\nb\"}",
        "{\"benchmark_id\":\"x\",\"event\":\"start\",\"log_file_prefix\":\"a\\u0000b\"}",
        "{\"benchmark_id\":\"x\",\"event\":\"start\",\"log_file_prefix\":null}",
        "{\"benchmark_id\":\"x\",\"event\":\"explode\",\"log_file_prefix\":\"evil\"}",
        ("{\"benchmark_id\":\"x\",\"event\":\"start\",\"event\":\"start\",\"log_file_prefix\":"
         "\"e\"}"),
        "{\"benchmark_id\":\"9f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d\",\"event\":\"batch_processed\"}",
        ("{\"benchmark_id\":\"9f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d\",\"event\":\"batch_processed\","
         "\"batch_size\":-1}"),
        ("{\"benchmark_id\":\"9f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d\",\"event\":\"batch_processed\","
         "\"batch_size\":1e3}"),
        ("{\"benchmark_id\":\"9f1c2d34-5e6f-4a7b-8c9d-0e1f2a3b4c5d\",\"event\":\"batch_processed\","
         "\"batch_size\":9223372036854775808}"),
    };
    struct talk t;
    int rows;
    talk_folder(&t);
    struct monitor_server_options opt = talk_options(&t);
    talk_begin(&t, &opt);
    assert_string_equal(talk_say(&t, original_start), "ACK");
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (strcmp(talk_say(&t, bad[i]), ""))
            fail_msg("%s was acknowledged", bad[i]);
    /* well formed, of a run that was never started: acknowledged as the original does, ignored */
    assert_string_equal(
        talk_say(&t, "{\"benchmark_id\":\"x\",\"event\":\"batch_processed\",\"batch_size\":3}"),
        "ACK");
    static char huge[1 << 20];
    memset(huge, ' ', sizeof(huge));
    assert_string_equal(talk_bytes(&t, huge, sizeof(huge)), "");
    memset(huge, '[', sizeof(huge));
    assert_string_equal(talk_bytes(&t, huge, EVENT_MAX_BYTES), "");
    assert_string_equal(talk_say(&t, original_batch), "ACK");
    talk_end(&t);
    assert_int_equal(talk_files(&t, ""), 1);
    assert_int_equal(talk_last(&t, prefix, 0, &rows).samples, 64);
    talk_remove(&t);
}

/* Many connections at once, silent, one byte at a time, or gone: others get in. */
static void test_slow_clients(void **state)
{
    struct talk t;
    int fd[60], rows;
    talk_folder(&t);
    struct monitor_server_options opt = talk_options(&t);
    talk_begin(&t, &opt);
    for (int i = 0; i < 60; i++)
        fd[i] = talk_connect(&t);
    assert_string_equal(talk_say(&t, original_start), "ACK");
    for (const char *p = original_batch; *p; p++)
        assert_int_equal(send(fd[0], p, 1, MSG_NOSIGNAL), 1);
    assert_string_equal(talk_answer(fd[0]), "ACK"); /* though the client did not close its side */
    for (int i = 1; i < 60; i++)
        close(fd[i]);
    for (int i = 0; i < 300; i++) { /* as the original's later clients: nobody waits */
        int gone = talk_connect(&t);
        assert_int_equal(send(gone, original_task, strlen(original_task), MSG_NOSIGNAL),
                         strlen(original_task));
        close(gone);
    }
    assert_string_equal(talk_say(&t, original_task), "ACK");
    talk_end(&t);
    struct talk_row r = talk_last(&t, prefix, 0, &rows);
    assert_int_equal(r.samples, 64);
    assert_int_equal(r.tasks, 301);
    talk_remove(&t);
}

static void test_silence_ends_a_run(void **state)
{
    struct talk t;
    int rows, later;
    talk_folder(&t);
    struct monitor_server_options opt = talk_options(&t);
    opt.timeout_seconds = 1.2;
    talk_begin(&t, &opt);
    assert_string_equal(talk_say(&t, original_start), "ACK");
    uint64_t start = clock_now_ns();
    talk_sleep(0.7);
    assert_string_equal(talk_say(&t, original_batch), "ACK"); /* it lives 1.2 s more */
    talk_sleep(0.7);
    double last = clock_seconds_since(start); /* a loaded machine sleeps longer */
    assert_string_equal(talk_say(&t, original_batch), "ACK");
    talk_sleep(2);
    struct talk_row r = talk_last(&t, prefix, 0, &rows);
    if (r.timestamp < last + 1.1 || r.timestamp > last + 1.9)
        fail_msg("ended at %g s, the last message was at %g s", r.timestamp, last);
    assert_int_equal(r.samples, 128);
    assert_string_equal(talk_say(&t, original_batch), "ACK"); /* too late, and without a prefix */
    talk_sleep(0.2);
    assert_int_equal(talk_last(&t, prefix, 0, &later).samples, 128);
    assert_int_equal(later, rows);
    assert_int_equal(talk_files(&t, prefix), 1);
    talk_end(&t);
    talk_remove(&t);
}

static void test_one_interface(void **state)
{
    struct talk t;
    int rows;
    talk_folder(&t);
    struct monitor_server_options opt = talk_options(&t);
    opt.interface = "eth1";
    assert_int_equal(monitor_server_open(&t.server, &opt), -ENODEV);
    assert_non_null(strstr(err_text(), "lo, eth0"));
    opt.interface = "lo";
    talk_begin(&t, &opt);
    assert_string_equal(talk_say(&t, original_start), "ACK");
    talk_network(&t, 9999, 9999);
    talk_end(&t);
    struct talk_row r = talk_last(&t, prefix, 0, &rows);
    assert_true(!r.sent && !r.recv);
    talk_remove(&t);
}

static void test_sockets_in_the_way(void **state)
{
    struct talk t;
    struct sockaddr_un a;
    struct stat st;
    talk_folder(&t);
    struct monitor_server_options opt = talk_options(&t);
    assert_int_equal(monitor_address(&a, t.dir), 0);

    talk_begin(&t, &opt);
    struct monitor_server *second;
    assert_int_equal(monitor_server_open(&second, &opt), -EADDRINUSE);
    assert_non_null(strstr(err_text(), "a monitor already serves"));
    assert_string_equal(talk_say(&t, original_start), "ACK"); /* the first one lives on */
    talk_end(&t);
    assert_int_equal(stat(a.sun_path, &st), -1);

    /* the original's monitor, or one that died */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(monitor_server_open(&second, &opt), -EADDRINUSE);
    close(fd);
    talk_begin(&t, &opt);
    assert_string_equal(talk_say(&t, original_start), "ACK");
    talk_end(&t);

    talk_write(&t, "sparse-benchmark.sock", "mine");
    assert_int_equal(monitor_server_open(&second, &opt), -EEXIST);
    assert_int_equal(stat(a.sun_path, &st), 0);
    assert_int_equal(st.st_size, 4);

    static char deep[200];
    memset(deep, 'd', sizeof(deep) - 1);
    opt.data_dir = deep;
    assert_int_equal(monitor_server_open(&second, &opt), -ENAMETOOLONG);
    talk_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_original_events),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_slow_clients),
        cmocka_unit_test(test_silence_ends_a_run),
        cmocka_unit_test(test_one_interface),
        cmocka_unit_test(test_sockets_in_the_way),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
