/*
 * What the monitor answers over HTTP: metrics by OpenMetrics' grammar, the JSON that the page
 * reads, the page itself; refusals; and clients that hold their connections while the samples go
 * on.
 */
#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "monitor/board.h"
#include "monitor/client.h"
#include "monitor/metrics.h"
#include "monitor/page.h"
#include "tests/monitor_talk.h"
#include "tests/openmetrics.h"

static char reply[1 << 20]; /* head and body of the last answer */

static int http_connect(const struct talk *t)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)monitor_server_http_port(t->server)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

/* Sends these bytes and reads until the other side closes. The body, in `reply`. */
static const char *raw(const struct talk *t, const char *request, int *status)
{
    int fd = http_connect(t);
    size_t used = 0;
    ssize_t n;
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    while ((n = recv(fd, reply + used, sizeof(reply) - 1 - used, 0)) > 0)
        used += (size_t)n;
    close(fd);
    reply[used] = '\0';
    *status = 0;
    sscanf(reply, "HTTP/1.1 %d", status);
    char *body = strstr(reply, "\r\n\r\n");
    return body ? body + 4 : "";
}

static const char *ask(const struct talk *t, const char *line, const char *headers, int wanted)
{
    char request[1024];
    int status;
    snprintf(request, sizeof(request),
             "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", line, headers);
    const char *body = raw(t, request, &status);
    if (status != wanted)
        fail_msg("%s: %d, wanted %d", line, status, wanted);
    assert_null(strcasestr(reply, "Access-Control-Allow"));
    return body;
}

static bool has_header(const char *text)
{
    const char *end = strstr(reply, "\r\n\r\n"), *at = strcasestr(reply, text);
    return at && at < end;
}

static void begin(struct talk *t)
{
    talk_folder(t);
    struct monitor_server_options opt = talk_options(t);
    opt.http_host = "127.0.0.1";
    opt.http_port = 0;
    if (!HAVE_MICROHTTPD)
        skip();
    talk_begin(t, &opt);
}

static struct monitor_client *client(const struct talk *t, const char *suite, double gap)
{
    char prefix[128];
    snprintf(prefix, sizeof(prefix), "benchmark_learning-%s-host-1-small-1-64", suite);
    struct monitor_client *c = monitor_client_open(
        &(struct monitor_client_options){.data_dir = t->dir, .prefix = prefix, .gap_seconds = gap});
    assert_non_null(c);
    return c;
}

/* Two runs: 96 samples at a loss of 1.5; 3 tasks of 192 samples, with 2.25, and parts. */
static void two_runs(const struct talk *t, struct monitor_client *c[2])
{
    const uint64_t part[EVENT_PART_COUNT] = {500000000, 1000000000, 2000000000, 0, 250000000};
    c[0] = client(t, "aio", 0);
    c[1] = client(t, "offload_final", 30);
    monitor_batch(c[0], 96, 1.5);
    monitor_parts(c[1], part);
    monitor_task(c[1], 3, 192, 2.25);
    for (int i = 0; i < 200; i++) { /* until both are told of, with some points */
        const char *text = ask(t, "GET /api/runs", "", 200);
        const char *first = strstr(text, "\"runs\":["), *points[2] = {NULL};
        for (int k = 0; k < 2 && first; k++)
            points[k] = first = strstr(first + 1, "\"points\":[");
        int n[2] = {0};
        for (int k = 0; k < 2; k++)
            for (const char *p = points[k]; p && *p && strncmp(p, "]]", 2) != 0; p++)
                n[k] += *p == ']';
        if (n[0] >= 3 && n[1] >= 3 && strstr(text, ",96,0,1.5") && strstr(text, ",192,3,2.25"))
            return;
        talk_sleep(0.05);
    }
    fail_msg("the runs are not told of: %s", reply);
}

static double value_of(const char *text, const char *series)
{
    const char *at = strstr(text, series);
    const char *value = at ? strchr(at + strlen(series), ' ') : NULL;
    if (!value)
        fail_msg("no %s in\n%s", series, text);
    return value ? strtod(value, NULL) : 0;
}

static void test_metrics(void **state)
{
    static struct openmetrics m;
    struct monitor_client *c[2];
    struct talk t;
    begin(&t);
    const char *text = ask(&t, "GET /metrics", "", 200);
    assert_null(openmetrics_wrong(&m, text)); /* without a run */
    two_runs(&t, c);
    text =
        ask(&t, "GET /metrics", "Accept: application/openmetrics-text;version=1.0.0,*/*\r\n", 200);
    const char *wrong = openmetrics_wrong(&m, text);
    if (wrong)
        fail_msg("%s", wrong);
    assert_true(
        has_header("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert_non_null(strstr(text, "suite=\"aio\",node=\"host-1\",model=\"small\"} 96\n"));
    assert_non_null(strstr(text, "# TYPE sparse_run_samples counter\n"));
    assert_non_null(strstr(text, "# UNIT sparse_run_step_seconds seconds\n"));
    assert_non_null(strstr(text, "part=\"backward\"} 2\n"));
    assert_null(
        strstr(text, "suite=\"aio\",node=\"host-1\",model=\"small\",part")); /* it told none */
    assert_true(value_of(text, "sparse_node_network_transmit_bytes_total") == 8000);
    talk_network(&t, 5000, 7077);
    talk_sleep(0.3);
    text = ask(&t, "GET /metrics", "", 200);
    assert_true(value_of(text, "sparse_node_network_transmit_bytes_total") == 8077);
    monitor_client_close(c[0]);
    monitor_client_close(c[1]);
    text = ask(&t, "GET /metrics", "", 200); /* ended, and told of for a while */
    assert_null(openmetrics_wrong(&m, text));
    const char *live = strstr(text, "\nsparse_run_live{");
    assert_non_null(live);
    assert_true(value_of(live, "sparse_run_live") == 0);
    assert_non_null(strstr(text, "suite=\"offload_final\",node=\"host-1\",model=\"small\"} 192\n"));

    text = ask(&t, "GET /metrics", "Accept: text/plain;version=0.0.4\r\n", 200);
    assert_true(has_header("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(text, "# TYPE sparse_run_samples_total counter\n"));
    assert_null(strstr(text, "# UNIT"));
    assert_null(strstr(text, "# EOF"));
    talk_end(&t);
    talk_remove(&t);
}

/* The check itself: one thing wrong in each. */
static void test_grammar_is_strict(void **state)
{
    static const char good[] =
        "# HELP a_bytes Some.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n"
        "a_bytes_total{x=\"y\\\"\"} 1\na_bytes_total{x=\"z\"} 2.5e+10\n"
        "# HELP b B.\n# TYPE b gauge\nb NaN\n# EOF\n";
    static const char *const change[][2] = {
        {"# EOF\n", ""},
        {"# EOF\n", "# EOF"},
        {"# EOF\n", "# EOF\nb 2\n"},
        {"# TYPE b gauge\n", ""},
        {"# HELP b B.\n", ""},
        {"# TYPE b gauge", "# TYPE b number"},
        {"UNIT a_bytes bytes", "UNIT a_bytes seconds"},
        {"a_bytes_total{x=\"z\"}", "a_bytes{x=\"z\"}"},
        {"a_bytes_total{x=\"z\"}", "a_bytes_total{x=\"y\\\"\"}"},
        {"{x=\"z\"}", "{x=\"z}"},
        {"{x=\"z\"}", "{x=z}"},
        {"{x=\"z\"}", "{0x=\"z\"}"},
        {"2.5e+10", "2.5e+10x"},
        {"2.5e+10", "-1"},
        {"2.5e+10", ""},
        {"# HELP b B.\n", "# HELP a_bytes B.\n# HELP b B.\n"},
        {"b NaN\n", "b NaN\n\n"},
        {"b NaN\n", ""},
    };
    static struct openmetrics m;
    assert_null(openmetrics_wrong(&m, good));
    for (size_t i = 0; i < sizeof(change) / sizeof(*change); i++) {
        char text[1024];
        const char *at = strstr(good, change[i][0]);
        assert_non_null(at);
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, change[i][1],
                 at + strlen(change[i][0]));
        if (!openmetrics_wrong(&m, text))
            fail_msg("not seen: \"%s\" for \"%s\"", change[i][1], change[i][0]);
    }
}

static json_t *runs_json(const struct talk *t, const char *line)
{
    json_error_t error;
    json_t *o = json_loads(ask(t, line, "", 200), JSON_REJECT_DUPLICATES, &error);
    if (!o)
        fail_msg("%s: %s", line, error.text);
    assert_true(has_header("Content-Type: application/json\r\n"));
    return o;
}

static void test_json(void **state)
{
    struct monitor_client *c[2];
    struct talk t;
    begin(&t);
    two_runs(&t, c);
    json_t *o = runs_json(&t, "GET /api/runs"), *r = json_object_get(o, "runs");
    assert_int_equal(json_array_size(r), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *x = json_array_get(r, i), *points = json_object_get(x, "points");
        bool aio = !strcmp(json_string_value(json_object_get(x, "suite")), "aio");
        assert_true(json_is_true(json_object_get(x, "live")));
        assert_string_equal(json_string_value(json_object_get(x, "node")), "host-1");
        assert_int_equal(json_integer_value(json_object_get(x, "samples")), aio ? 96 : 192);
        assert_int_equal(json_integer_value(json_object_get(x, "tasks")), aio ? 0 : 3);
        assert_true(json_number_value(json_object_get(x, "loss")) == (aio ? 1.5 : 2.25));
        const json_t *parts = json_object_get(x, "parts");
        assert_true(aio ? json_is_null(parts)
                        : json_number_value(json_object_get(parts, "wait")) == 0.25);
        size_t n = json_array_size(points);
        assert_true(n >= 3);
        const json_t *last = json_array_get(points, n - 1);
        assert_int_equal(json_array_size(last), aio ? 5 : 10);
        assert_int_equal(json_integer_value(json_array_get(last, 2)), aio ? 96 : 192);
    }
    json_int_t n = json_integer_value(json_object_get(o, "n"));
    json_decref(o);
    char line[64];
    snprintf(line, sizeof(line), "GET /api/runs?since=%lld", (long long)n);
    talk_sleep(0.2);
    o = runs_json(&t, line);
    const json_t *points = json_object_get(json_object_get(o, "node"), "points");
    assert_true(json_array_size(points) >= 1);
    assert_int_equal(json_integer_value(json_array_get(json_array_get(points, 0), 0)), n + 1);
    json_decref(o);
    o = runs_json(&t, "GET /api/runs?since=18446744073709551615");
    assert_int_equal(json_array_size(json_object_get(json_object_get(o, "node"), "points")), 0);
    json_decref(o);
    monitor_client_close(c[0]);
    monitor_client_close(c[1]);
    talk_end(&t);
    talk_remove(&t);
}

static void test_page_and_refusals(void **state)
{
    struct talk t;
    int status;
    begin(&t);
    const char *body = ask(&t, "GET /", "", 200);
    assert_int_equal(strlen(body), page_bytes());
    assert_memory_equal(body, page_text, page_bytes());
    assert_null(strstr(body, "http://") ? strstr(strstr(body, "http://") + 1, "src=") : NULL);
    assert_true(has_header("Content-Security-Policy: default-src 'none';"));
    assert_true(has_header("X-Content-Type-Options: nosniff"));
    char length[64];
    snprintf(length, sizeof(length), "Content-Length: %zu\r\n", page_bytes());
    assert_string_equal(ask(&t, "HEAD /", "", 200), "");
    assert_true(has_header(length));
    assert_string_equal(ask(&t, "HEAD /metrics", "", 200), "");
    assert_string_equal(ask(&t, "HEAD /nothing", "", 404), "");
    ask(&t, "GET /nothing", "", 404);
    ask(&t, "GET /../../etc/passwd", "", 404);
    ask(&t, "GET /Metrics", "", 404);
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        char line[64];
        snprintf(line, sizeof(line), "%s /metrics", methods[i]);
        ask(&t, line, "Content-Length: 0\r\n", 405);
        assert_true(has_header("Allow: GET, HEAD\r\n"));
    }
    ask(&t, "GET /api/runs?since=", "", 400);
    ask(&t, "GET /api/runs?since=-1", "", 400);
    ask(&t, "GET /api/runs?since=+1", "", 400);
    ask(&t, "GET /api/runs?since=18446744073709551616", "", 400);
    ask(&t, "GET /api/runs?other=7", "", 200);
    raw(&t, "GET / HTTP/1.1\r\nHost: evil.example:80\r\nConnection: close\r\n\r\n", &status);
    assert_int_equal(status, 403);
    raw(&t, "GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\nConnection: close\r\n\r\n", &status);
    assert_int_equal(status, 403);
    raw(&t, "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n\r\n", &status);
    assert_int_equal(status, 200);
    raw(&t, "GET / HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: close\r\n\r\n", &status);
    assert_int_equal(status, 200);
    raw(&t, "rubbish\r\n\r\n", &status);
    assert_int_not_equal(status, 200);
    talk_end(&t);
    talk_remove(&t);
}

/* Rows a second, over this time. */
static double row_rate(const struct talk *t, double seconds)
{
    int rows[2];
    double from = talk_last(t, "s-2", 0, &rows[0]).timestamp;
    talk_sleep(seconds);
    double to = talk_last(t, "s-2", 0, &rows[1]).timestamp;
    return (rows[1] - rows[0]) / (to - from);
}

/* More than are let in, silent, in the middle of a header, or not reading what they asked for: the
 * rows go on as before, and what is let in later is answered. */
static void test_slow_clients(void **state)
{
    static const char start[] =
        "{\"benchmark_id\":\"s\",\"event\":\"start\",\"log_file_prefix\":\"s\"}";
    static const char half[] = "GET /metrics HTTP/1.1\r\nHost: loc";
    static const char many[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct talk t;
    int fd[60];
    begin(&t);
    assert_string_equal(talk_say(&t, start), "ACK");
    double before = row_rate(&t, 1.5);
    for (int i = 0; i < 60; i++) {
        fd[i] = http_connect(&t);
        for (int k = 0; i % 3 == 2 && k < 40; k++)
            if (send(fd[i], many, strlen(many), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                break;
        if (i % 3 == 1)
            send(fd[i], half, strlen(half), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    double rate = row_rate(&t, 2);
    if (rate < 0.6 * before)
        fail_msg("%g rows a second, %g before", rate, before);
    for (int i = 0; i < 60; i++)
        close(fd[i]);
    ask(&t, "GET /metrics", "", 200);
    talk_end(&t);
    talk_remove(&t);
}

/* Lines of points stay short however long a run is, and keep its beginning. */
static void test_long_runs(void **state)
{
    struct board *b = board_new(false, 2, NULL), *view = calloc(1, sizeof(*view));
    struct host_sample h = {0};
    struct event e = {.kind = EVENT_START, .id = "x", .prefix = "p"};
    assert_non_null(b);
    int place = board_begin(b, &e, 0, 0);
    for (int i = 1; i <= 100000; i++) {
        struct board_totals totals = {.samples = (uint64_t)(10 * i)};
        h.bytes_sent = (uint64_t)i;
        board_tick(b, 0.5 * i, 0, &h);
        board_run(b, place, 0.5 * i, &totals);
        board_copy(view, b, 0);
        const struct board_run *r = &view->run[place];
        assert_true(r->line.count <= BOARD_POINTS && (i < 600 || r->line.count >= 299));
        assert_true(r->line.n[0] <= 256 && r->line.n[r->line.count - 1] + 256 > (uint64_t)i);
        if (i % 997)
            continue;
        for (int k = 0; k < r->line.count; k++) {
            assert_true(r->point[k].samples == 10 * r->line.n[k]);
            assert_true(r->line.time[k] == 0.5 * (double)r->line.n[k]);
            assert_true(view->point[k].bytes_sent == view->line.n[k]);
            assert_true(k == 0 || r->line.n[k] == r->line.n[k - 1] + r->line.stride);
        }
    }
    board_end(b, place, 1e5, &(struct board_totals){.samples = 1});
    for (int i = 0; i < BOARD_RUNS; i++) { /* the oldest of those that have ended makes room */
        int p = board_begin(b, &e, 2e5 + i, 0);
        assert_int_equal(p, i < BOARD_RUNS - 1 ? i + 1 : place);
        board_end(b, p, 2e5 + i, &(struct board_totals){.samples = 1});
    }
    assert_int_equal(board_begin(b, &e, 3e5, 0), 1);
    free(view);
    board_free(b);
}

/* A worker that was idle for long goes on under its id: no series may be told twice. */
static void test_a_run_that_goes_on(void **state)
{
    static struct openmetrics m;
    struct board *b = board_new(false, 2, NULL);
    struct event e = {.kind = EVENT_START, .id = "x", .prefix = "p"};
    assert_non_null(b);
    int first = board_begin(b, &e, 0, 0);
    board_end(b, first, 10, &(struct board_totals){.samples = 7});
    int second = board_begin(b, &e, 50, 50);
    board_run(b, second, 60, &(struct board_totals){.samples = 3});
    struct text t = {0};
    metrics_write(&t, b, METRICS_OPEN);
    const char *wrong = openmetrics_wrong(&m, t.at);
    if (wrong)
        fail_msg("%s", wrong);
    assert_true(value_of(t.at, "sparse_run_samples_total{run=\"x\"") == 3);
    free(t.at);
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_grammar_is_strict),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_page_and_refusals),
        cmocka_unit_test(test_slow_clients),
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_a_run_that_goes_on),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
