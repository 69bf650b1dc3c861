/*
 * Routes, and refusals. A page of another site could make a browser ask here under a name of its
 * own that leads to this machine: where only this machine is listened to, a Host that is another
 * name is refused.
 */
#include "monitor/http_answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "monitor/board_json.h"
#include "monitor/metrics.h"
#include "monitor/page.h"

static const char plain_type[] = "text/plain; charset=utf-8";

static void say(struct http_answer *a, int status, const char *sentence)
{
    a->status = status;
    a->type = plain_type;
    text_add(&a->text, "%s\n", sentence);
}

/* "localhost", 127.x.y.z or [::1], with or without a port. */
static bool names_this_machine(const char *host)
{
    size_t length = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (length == 9 && !strncasecmp(host, "localhost", 9))
        return true;
    if (length == 5 && !strncmp(host, "[::1]", 5))
        return true;
    return !strncmp(host, "127.", 4) && strspn(host, "0123456789.") == length;
}

/* Digits alone. */
static bool read_since(uint64_t *since, const char *text)
{
    char *end;
    *since = 0;
    if (!text)
        return true;
    if (!*text || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    *since = strtoull(text, &end, 10);
    return errno == 0 && !*end;
}

static void api_runs(struct http_answer *a, const struct http_request *q, struct board *board,
                     struct board *view)
{
    uint64_t since;
    if (!read_since(&since, q->since)) {
        say(a, 400, "since wants the number of a sample, as \"n\" has it");
        return;
    }
    board_copy(view, board, since);
    a->status = 200;
    a->type = "application/json";
    board_json(&a->text, view);
}

/* OpenMetrics, but for whoever knows the older text alone, and browsers, which would save the
 * other as a file. */
static void metrics(struct http_answer *a, const struct http_request *q, struct board *board,
                    struct board *view)
{
    const char *accept = q->accept ? q->accept : "";
    bool older = !strstr(accept, "application/openmetrics-text") &&
                 (strstr(accept, "text/plain") || strstr(accept, "text/html"));
    board_copy(view, board, UINT64_MAX);
    a->status = 200;
    a->type = older ? metrics_text_type : metrics_open_type;
    metrics_write(&a->text, view, older ? METRICS_TEXT : METRICS_OPEN);
}

static void page(struct http_answer *a)
{
    a->status = 200;
    a->type = "text/html; charset=utf-8";
    a->fixed = page_text;
    a->fixed_bytes = page_bytes();
}

void http_answer(struct http_answer *a, const struct http_request *q, struct board *board,
                 struct board *view)
{
    *a = (struct http_answer){0};
    if (q->local && q->host && !names_this_machine(q->host)) {
        say(a, 403, "this monitor answers under the names localhost and 127.0.0.1 alone");
    } else if (strcmp(q->method, "GET") != 0 && strcmp(q->method, "HEAD") != 0) {
        say(a, 405, "this monitor answers GET and HEAD");
        a->allow = "GET, HEAD";
    } else if (!strcmp(q->path, "/")) {
        page(a);
    } else if (!strcmp(q->path, "/api/runs")) {
        api_runs(a, q, board, view);
    } else if (!strcmp(q->path, "/metrics")) {
        metrics(a, q, board, view);
    } else {
        say(a, 404, "there are /, /api/runs and /metrics");
    }
    if (a->text.failed)
        a->status = 500;
}
