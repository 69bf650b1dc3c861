/*
 * What the monitor answers to an HTTP request, without a socket: "/" the page, "/api/runs" what the
 * page reads, "/metrics" what Prometheus does. Every word of the request comes from anybody.
 */
#ifndef MONITOR_HTTP_ANSWER_H
#define MONITOR_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "monitor/board.h"
#include "monitor/text.h"

struct http_request {
    const char *method, *path;
    /* NULL: the request has no such header, or no such word after the question mark */
    const char *host, *accept, *since;
    bool local; /* only this machine is listened to */
};

struct http_answer {
    int status;
    const char *type;  /* Content-Type */
    const char *allow; /* Allow; NULL: no such header */
    const char *fixed; /* the body where it is not in `text`; lives as long as the program */
    size_t fixed_bytes;
    struct text text; /* of whoever asked, to be freed */
};

/* view: the asker's own, what it is filled with is its business. */
void http_answer(struct http_answer *a, const struct http_request *q, struct board *board,
                 struct board *view);

#endif
