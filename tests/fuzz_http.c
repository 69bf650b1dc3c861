/* libFuzzer: any bytes as the words of an HTTP request, separated by NULs, to a board with a run
 * whose name and numbers come from them too. There is always one answer, of a kind that its status
 * allows; what is JSON is read again, what is OpenMetrics keeps to its grammar. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "monitor/http_answer.h"
#include "monitor/metrics.h"
#include "tests/openmetrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct board *board, *view;

static void one_run(const char *words)
{
    struct board_totals t = {.samples = strlen(words), .has_loss = true, .has_parts = true};
    struct host_sample h = {.bytes_sent = strlen(words)};
    struct event e = {.kind = EVENT_START};
    memcpy(&t.loss, words, sizeof(t.loss) < strlen(words) ? sizeof(t.loss) : 0);
    event_clean(e.prefix, sizeof(e.prefix), words);
    event_clean(e.id, sizeof(e.id), words);
    int place = board_begin(board, &e, board->time, 0);
    board_tick(board, board->time + 0.5, 1, &h);
    board_run(board, place, board->time, &t);
    board_end(board, place, board->time, &t);
}

static void check(struct http_answer *a)
{
    static struct openmetrics m;
    CHECK(a->type && !a->text.failed);
    CHECK(a->status == 200 || a->status == 400 || a->status == 403 || a->status == 404 ||
          a->status == 405);
    CHECK(a->fixed ? a->fixed_bytes > 0 : a->text.bytes > 0);
    if (!a->fixed && a->status == 200) {
        if (!strcmp(a->type, "application/json")) {
            json_t *o = json_loadb(a->text.at, a->text.bytes, JSON_REJECT_DUPLICATES, NULL);
            CHECK(o);
            json_decref(o);
        } else if (a->type == metrics_open_type && a->text.bytes < 60000) {
            const char *wrong = openmetrics_wrong(&m, a->text.at);
            if (wrong)
                fprintf(stderr, "%s\n", wrong);
            CHECK(!wrong);
        }
    }
    free(a->text.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[4096];
    const char *word[5] = {NULL};
    struct http_answer a;
    if (!board) {
        board = board_new(true, 2, "x\"y");
        view = calloc(1, sizeof(*view));
        CHECK(board && view);
    }
    if (size > sizeof(text) - 1)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    char *p = text;
    for (int i = 0; i < 5 && p < text + size; i++, p += strlen(p) + 1)
        word[i] = p;
    if (board->n % 64 == 0 && word[4] && *word[4])
        one_run(word[4]);
    else
        board->n++;
    for (int k = 0; k < 4; k++) {
        static const char *const path[] = {NULL, "/", "/api/runs", "/metrics"};
        struct http_request q = {.method = k || !word[0] ? "GET" : word[0],
                                 .path = path[k]   ? path[k]
                                         : word[1] ? word[1]
                                                   : "/",
                                 .host = word[2],
                                 .accept = word[3],
                                 .since = word[0],
                                 .local = size % 2};
        http_answer(&a, &q, board, view);
        check(&a);
    }
    return 0;
}
