/*
 * What a run tells the monitor: one JSON object a connection, as the original's client writes it.
 * A message comes from any process that reaches the socket, so parsing is strict and bounded, and a
 * prefix can only ever name a file in the statistics' own folder.
 *
 *     {"benchmark_id": "…", "event": "start", "log_file_prefix": "…"}
 *     {"benchmark_id": "…", "event": "batch_processed", "batch_size": 64}
 *     {"benchmark_id": "…", "event": "task_processed"}
 *     {"benchmark_id": "…", "event": "stop"}
 *
 * What is not the original's is optional, and its server passes it over, as this one does other
 * keys: "log_file_prefix" in every event; "application", "suite", "node" and "model", what the
 * prefix says too; "tasks", several of them in one event, and the "samples" in them; "loss", the
 * last one; "parts": {"queue": 0.1, …}, seconds of each part of a step since the event before.
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
    EVENT_ABOUT_BYTES = 65,
};

/* What a step's time goes to; engine/stream.h says what each holds. */
enum event_part {
    EVENT_QUEUE,
    EVENT_FORWARD,
    EVENT_BACKWARD,
    EVENT_SEND,
    EVENT_WAIT,
    EVENT_PART_COUNT
};

enum event_kind { EVENT_START, EVENT_BATCH, EVENT_TASK, EVENT_STOP, EVENT_KIND_COUNT };

/* Who runs what: "learning" or "inference", the role by the original's name, host, model. "": not
 * known. */
struct event_about {
    char application[EVENT_ABOUT_BYTES], suite[EVENT_ABOUT_BYTES], node[EVENT_ABOUT_BYTES],
        model[EVENT_ABOUT_BYTES];
};

struct event {
    enum event_kind kind;
    char id[EVENT_ID_BYTES];
    char prefix[EVENT_PREFIX_BYTES]; /* "": it says none */
    struct event_about about;
    uint32_t count;   /* samples of a batch, tasks */
    uint32_t samples; /* in these tasks; 0: it does not say */
    bool has_loss, has_parts;
    double loss;
    double part_seconds[EVENT_PART_COUNT];
};

/* -EAGAIN: what is there may be the beginning of a message. -EBADMSG: it is none. Both leave a
 * sentence. */
int event_parse(struct event *e, const void *data, size_t bytes);

/* One line of JSON without NUL or newline at its end; its bytes. Allocates nothing. */
size_t event_write(const struct event *e, char text[EVENT_MAX_BYTES]);

const char *event_part_name(enum event_part part);

/* Makes any text one that an event may hold: cut, and '_' for each character that it may not. */
void event_clean(char *clean, size_t bytes, const char *text);

/* What benchmark_{application}-{suite}-{node}-{model}-{epochs}-{batch_size} says, where the event
 * does not say it itself. */
void event_about_prefix(struct event_about *about, const char *prefix);

#endif
