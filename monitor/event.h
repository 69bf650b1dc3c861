/*
 * What a run tells the monitor: one JSON object a connection, as the original's client writes it.
 * A message comes from any process that reaches the socket, so parsing is strict and bounded, and a
 * prefix can only ever name a file in the statistics' own folder.
 *
 *     {"benchmark_id": "…", "event": "start", "log_file_prefix": "…"}
 *     {"benchmark_id": "…", "event": "batch_processed", "batch_size": 64, "loss": 2.3}
 *     {"benchmark_id": "…", "event": "task_processed"}
 *     {"benchmark_id": "…", "event": "stop"}
 *
 * Of these "loss", "tasks" (several tasks in one event) and a "log_file_prefix" in every event are
 * not the original's, and optional; other keys are passed over.
 */
#ifndef MONITOR_EVENT_H
#define MONITOR_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EVENT_MAX_BYTES = 4096, /* of a message */
    EVENT_ID_BYTES = 65,
    EVENT_PREFIX_BYTES = 201,
};

enum event_kind { EVENT_START, EVENT_BATCH, EVENT_TASK, EVENT_STOP, EVENT_KIND_COUNT };

struct event {
    enum event_kind kind;
    char id[EVENT_ID_BYTES];
    char prefix[EVENT_PREFIX_BYTES]; /* "": it says none */
    uint32_t count;                  /* samples of a batch, tasks */
    bool has_loss;
    double loss;
};

/* -EAGAIN: what is there may be the beginning of a message. -EBADMSG: it is none. Both leave a
 * sentence. */
int event_parse(struct event *e, const void *data, size_t bytes);

/* One line of JSON without NUL or newline at its end; its bytes. Allocates nothing. */
size_t event_write(const struct event *e, char text[EVENT_MAX_BYTES]);

/* Makes any text a prefix: cut, and '_' for each character that a prefix may not have. */
void event_clean_prefix(char prefix[EVENT_PREFIX_BYTES], const char *text);

#endif
