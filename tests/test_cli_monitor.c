/*
 * The monitor as a user meets it: real runs beside a real monitor, whose files say what the runs
 * say themselves; runs without one, and with one that is killed, are the same to the byte.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/cli.h"

static struct cli r;

static void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* Quiet: it shares a file for its stderr with the runs. */
static pid_t monitor_start(const char *words)
{
    char all[256];
    struct stat st;
    snprintf(all, sizeof(all), "monitor --quiet %s", words);
    pid_t pid = cli_start(all);
    for (int i = 0; stat("data/sparse-benchmark.sock", &st); i++) {
        assert_true(i < 500);
        sleep_ms(10);
    }
    return pid;
}

static void monitor_stop(pid_t pid, int signal, int status)
{
    kill(pid, signal);
    cli_wait(&r, pid);
    assert_int_equal(r.status, status);
}

static int port_free_a_moment_ago(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &bytes), 0);
    close(fd);
    return ntohs(a.sin_port);
}

/* Samples and tasks of the last row of the one file whose name begins so; the columns are those of
 * the original. False: there is no such file. */
static int totals(const char *prefix, unsigned long long *samples, unsigned long long *tasks)
{
    static const char head[] = "timestamp,bytes_sent,bytes_recv,samples_processed,tasks_processed";
    char path[512] = "";
    DIR *d = opendir("data/stats");
    int n = 0;
    if (!d)
        return 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (strncmp(e->d_name, prefix, strlen(prefix)))
            continue;
        snprintf(path, sizeof(path), "data/stats/%s", e->d_name);
        n++;
    }
    closedir(d);
    if (!n)
        return 0;
    assert_int_equal(n, 1);
    size_t bytes;
    char *text = cli_file(path, &bytes);
    assert_int_equal(strncmp(text, head, strlen(head)), 0);
    assert_int_equal(text[bytes - 1], '\n');
    text[bytes - 1] = 0;
    double t;
    unsigned long long sent, recv;
    assert_int_equal(
        sscanf(strrchr(text, '\n'), "\n%lf,%llu,%llu,%llu,%llu", &t, &sent, &recv, samples, tasks),
        5);
    free(text);
    unlink(path);
    return 1;
}

/* The one file of step times with this prefix: a row a step, and its parts are all of the time that
 * passed. Fills the sums of the parts. */
static void step_times(const char *prefix, int steps, double sum[5])
{
    static const char head[] = "step,timestamp,queue,forward,backward,send,wait\n";
    char path[512] = "";
    DIR *d = opendir("data/stats");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (!strncmp(e->d_name, prefix, strlen(prefix)))
            snprintf(path, sizeof(path), "data/stats/%s", e->d_name);
    closedir(d);
    size_t bytes;
    char *text = cli_file(path, &bytes), *save;
    assert_int_equal(strncmp(text, head, strlen(head)), 0);
    double begin = 0, t = 0, p[5], all = 0;
    int n = 0;
    memset(sum, 0, 5 * sizeof(*sum));
    for (char *l = strtok_r(text + strlen(head), "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        double before = t;
        int step;
        assert_int_equal(
            sscanf(l, "%d,%lf,%lf,%lf,%lf,%lf,%lf", &step, &t, &p[0], &p[1], &p[2], &p[3], &p[4]),
            7);
        assert_int_equal(step, ++n);
        assert_true(t > before);
        for (int i = 0; i < 5; i++) {
            assert_true(p[i] >= 0);
            sum[i] += p[i];
            all += p[i];
        }
        if (n == 1)
            begin = t - all;
    }
    assert_int_equal(n, steps);
    if (!(all < t - begin + 1e-3 && all > 0.9 * (t - begin) - 0.05))
        fail_msg("%s: the parts are %g s, %g s have passed", prefix, all, t - begin);
    free(text);
    unlink(path);
}

static void name_of(char *prefix, size_t bytes, const char *format)
{
    char host[65] = "";
    gethostname(host, sizeof(host) - 1);
    snprintf(prefix, bytes, format, host);
}

static void test_alone(void **state)
{
    char prefix[256];
    unsigned long long samples = 0, tasks = 0;
    pid_t monitor = monitor_start("");
    cli_expect(&r, "train --model small --dataset shapes --batches 5 --epochs 2 --batch-size 9", 0,
               "");
    assert_non_null(strstr(r.out, "Trained 90 samples"));
    name_of(prefix, sizeof(prefix), "benchmark_learning-aio-%s-small-2-9-2");
    assert_true(totals(prefix, &samples, &tasks));
    assert_true(samples == 90 && tasks == 0);
    name_of(prefix, sizeof(prefix), "benchmark_learning-aio-%s-small-2-9-steps-2");
    double part[5];
    step_times(prefix, 10, part);
    assert_true(part[1] > 0 && part[2] > 0 && part[3] == 0 && part[4] == 0);
    assert_non_null(strstr(r.out, "\nOf a step: queue "));
    assert_null(strstr(r.out, " %, send ")); /* it has no neighbour */

    cli_expect(&r, "infer --model small --dataset shapes --inferences 3 --batch-size 5", 0, "");
    name_of(prefix, sizeof(prefix), "benchmark_inference-aio-%s-small-3-5-2");
    assert_true(totals(prefix, &samples, &tasks));
    assert_true(samples == 15 && tasks == 0);
    name_of(prefix, sizeof(prefix), "benchmark_inference-aio-%s-small-3-5-steps-2");
    step_times(prefix, 3, part);
    assert_true(part[1] > 0 && part[2] == 0 && part[3] == 0 && part[4] == 0);

    cli_expect(&r, "train --model small --dataset shapes --batches 1 --no-monitor", 0, "");
    assert_false(totals("benchmark", &samples, &tasks));
    monitor_stop(monitor, SIGTERM, 143);
    assert_int_equal(access("data/sparse-benchmark.sock", F_OK), -1);
    cli_remove("data");
}

/* The last two of three nodes, the middle one first: it listens at port[0] and has words of its
 * own. */
static void workers_start(pid_t worker[2], const char *command, const int port[2],
                          const char *middle)
{
    char words[256];
    snprintf(words, sizeof(words), "%s --model small --role final --quiet --listen 127.0.0.1:%d",
             command, port[1]);
    worker[1] = cli_start(words);
    snprintf(words, sizeof(words),
             "%s --model small --role intermediate --quiet --layers 2:4 --listen 127.0.0.1:%d "
             "--upstream 127.0.0.1:%d %s",
             command, port[0], port[1], middle);
    worker[0] = cli_start(words);
}

static void workers_stop(const pid_t worker[2])
{
    monitor_stop(worker[0], SIGTERM, 143);
    monitor_stop(worker[1], SIGTERM, 143);
}

/* Three nodes that infer: a row a request, and forward, but no backward. A second stream of other
 * words goes into files of its own. */
static void test_split_inference(void **state)
{
    char words[256], prefix[256];
    unsigned long long samples = 0, tasks = 0;
    double part[5];
    int port[2] = {port_free_a_moment_ago(), port_free_a_moment_ago()};
    pid_t monitor = monitor_start("");
    pid_t worker[2];
    workers_start(worker, "infer", port, "--node-name middle");
    for (int n = 5; n <= 7; n += 2) {
        snprintf(words, sizeof(words),
                 "infer --model small --dataset shapes --role client --layers 0:2 --inferences %d "
                 "--batch-size 8 --in-flight %d --upstream 127.0.0.1:%d",
                 n, n - 4, port[0]);
        cli_expect(&r, words, 0, "");
        assert_non_null(strstr(r.out, "\nOf a request: queue "));
        sleep_ms(300); /* that the monitor has answered the workers */
    }
    workers_stop(worker);
    for (int n = 5; n <= 7; n += 2) {
        snprintf(words, sizeof(words), "benchmark_inference-offload_client-%%s-small-%d-8-2", n);
        name_of(prefix, sizeof(prefix), words);
        assert_true(totals(prefix, &samples, &tasks));
        assert_true(samples == 8ull * (unsigned)n && tasks == 0);
        snprintf(words, sizeof(words), "benchmark_inference-offload_client-%%s-small-%d-8-st", n);
        name_of(prefix, sizeof(prefix), words);
        step_times(prefix, n, part);
        assert_true(part[1] > 0 && part[2] == 0 && part[3] > 0 && part[4] > 0);
        snprintf(prefix, sizeof(prefix),
                 "benchmark_inference-offload_intermediate-middle-small-%d-8-2", n);
        assert_true(totals(prefix, &samples, &tasks));
        assert_true(samples == 0 && tasks == (unsigned)n);
        snprintf(prefix, sizeof(prefix),
                 "benchmark_inference-offload_intermediate-middle-small-%d-8-st", n);
        step_times(prefix, n, part);
        assert_true(part[0] > 0 && part[1] > 0 && part[2] == 0 && part[3] > 0 && part[4] > 0);
        snprintf(words, sizeof(words), "benchmark_inference-offload_final-%%s-small-%d-8-st", n);
        name_of(prefix, sizeof(prefix), words);
        step_times(prefix, n, part);
        assert_true(part[0] > 0 && part[1] > 0 && part[2] == 0 && part[3] > 0 && part[4] == 0);
    }
    monitor_stop(monitor, SIGTERM, 143);
    cli_remove("data");
}

/* Three nodes: the client counts samples, the workers their steps. */
static void test_split(void **state)
{
    char words[256], prefix[256];
    unsigned long long samples = 0, tasks = 0;
    int port[2] = {port_free_a_moment_ago(), port_free_a_moment_ago()};
    pid_t monitor = monitor_start("");
    pid_t worker[2];
    workers_start(worker, "train", port, "");
    snprintf(
        words, sizeof(words),
        "train --model small --dataset shapes --role client --layers 0:2 --batches 3 --epochs 2 "
        "--batch-size 8 --upstream 127.0.0.1:%d --benchmark-node-name edge-1",
        port[0]);
    cli_expect(&r, words, 0, "");
    assert_non_null(strstr(r.out, "Trained 48 samples"));
    workers_stop(worker);
    assert_true(totals("benchmark_learning-offload_client-edge-1-small-2-8-2", &samples, &tasks));
    assert_true(samples == 48 && tasks == 0);
    double part[5];
    step_times("benchmark_learning-offload_client-edge-1-small-2-8-steps-2", 6, part);
    assert_true(part[1] > 0 && part[2] > 0 && part[3] > 0 && part[4] > 0);
    name_of(prefix, sizeof(prefix), "benchmark_learning-offload_intermediate-%s-small-2-8-steps-2");
    step_times(prefix, 6, part);
    assert_true(part[0] > 0 && part[1] > 0 && part[2] > 0 && part[3] > 0 && part[4] > 0);
    name_of(prefix, sizeof(prefix), "benchmark_learning-offload_final-%s-small-2-8-steps-2");
    step_times(prefix, 6, part);
    assert_true(part[0] > 0 && part[1] > 0 && part[2] > 0 && part[3] > 0 && part[4] == 0);
    name_of(prefix, sizeof(prefix), "benchmark_learning-offload_intermediate-%s-small-2-8-2");
    assert_true(totals(prefix, &samples, &tasks));
    assert_true(samples == 0 && tasks == 6);
    name_of(prefix, sizeof(prefix), "benchmark_learning-offload_final-%s-small-2-8-2");
    assert_true(totals(prefix, &samples, &tasks));
    assert_true(samples == 0 && tasks == 6);
    monitor_stop(monitor, SIGINT, 130);
    cli_remove("data");
}

/* Long enough to be in the middle of: sanitizers make steps twenty times slower. */
#ifdef SANITIZED
#define STEPS "10"
#else
#define STEPS "200"
#endif
static const char same[] = "train --model small --dataset shapes --batch-size 64 --lr 0.1 "
                           "--epochs 2 --threads 1 --batches " STEPS;

static int lines(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* The same losses and weights, and one line more at most. */
static void test_killed(void **state)
{
    char words[256];
    snprintf(words, sizeof(words), "%s --log l1 --save w1 --no-monitor", same);
    cli_expect(&r, words, 0, "");
    assert_int_equal(lines(r.err), 0);
    snprintf(words, sizeof(words), "%s --log l2 --save w2", same);
    cli_expect(&r, words, 0, "");
    assert_true(lines(r.err) <= 1);

    pid_t monitor = monitor_start("");
    snprintf(words, sizeof(words), "%s --log l3 --save w3", same);
    pid_t run = cli_start(words);
    for (int i = 0; access("data/stats", F_OK); i++) {
        assert_true(i < 1000);
        sleep_ms(5);
    }
    sleep_ms(60);
    kill(monitor, SIGKILL);
    waitpid(monitor, NULL, 0);
    assert_int_equal(waitpid(run, NULL, WNOHANG), 0); /* it was in the middle */
    cli_wait(&r, run);
    assert_int_equal(r.status, 0);
    assert_int_equal(lines(r.err), 1);
    assert_non_null(strstr(r.err, "the run goes on without it"));
    for (int i = 2; i <= 3; i++) {
        char log[8], weights[8];
        snprintf(log, sizeof(log), "l%d", i);
        snprintf(weights, sizeof(weights), "w%d", i);
        cli_same_files("l1", log);
        cli_same_files("w1", weights);
        unlink(log);
        unlink(weights);
    }
    unlink("l1");
    unlink("w1");
    cli_remove("data");
}

/* A port alone, with a colon, with an address; where it is shown is said. */
static void test_http_addresses(void **state)
{
    static const char *const row[][2] = {
        {"0", "http://127.0.0.1:"},
        {":0", "http://127.0.0.1:"},
        {"127.0.0.1:0", "http://127.0.0.1:"},
        {"[::1]:0", "http://[::1]:"},
        {"0.0.0.0:0", "0.0.0.0 is no loopback address: whoever reaches it sees the runs"},
    };
    struct stat ipv6;
    if (!HAVE_MICROHTTPD)
        skip();
    for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
        char words[64];
        if (row[i][0][0] == '[' && stat("/proc/net/if_inet6", &ipv6) < 0)
            continue;
        snprintf(words, sizeof(words), "monitor --http %s", row[i][0]);
        pid_t pid = cli_start(words);
        cli_wait_for(row[i][1]);
        cli_wait_for("Starting the monitoring server");
        monitor_stop(pid, SIGTERM, 143);
        cli_remove("data");
    }
}

static void test_refusals(void **state)
{
    pid_t monitor = monitor_start("");
    cli_expect(&r, "monitor", 1, "a monitor already serves");
    cli_expect(&r, "monitor --data-dir elsewhere --interface no0", 1,
               "there is no network interface \"no0\", there are ");
    cli_expect(&r, "monitor --rate 0", 2, "--rate wants");
    cli_expect(&r, "monitor --timeout x", 2, "--timeout wants");
    cli_expect(&r, "monitor --model small", 2, "monitor takes no --model");
    cli_expect(&r, "monitor --http x", 2, "--http wants ADDR:PORT or PORT, there is \"x\"");
    cli_expect(&r, "monitor --http 65536", 2, "--http");
    cli_expect(&r, "monitor --http ::1", 2, "--http wants ADDR:PORT");
    cli_expect(&r, "monitor --http", 2, "--http");
    if (HAVE_MICROHTTPD)
        cli_expect(&r, "monitor --data-dir elsewhere --http 192.0.2.1:0", 1,
                   "cannot listen for HTTP on 192.0.2.1:0");
    else
        cli_expect(&r, "monitor --data-dir elsewhere --http 0", 1,
                   "built without libmicrohttpd, which --http wants");
    monitor_stop(monitor, SIGTERM, 143);
    cli_remove("data");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),           cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_inference), cmocka_unit_test(test_killed),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_http_addresses),
    };
    return cmocka_run_group_tests(tests, cli_enter, cli_leave);
}
