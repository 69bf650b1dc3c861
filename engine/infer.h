/*
 * An inference of a role that reads data: cmd_infer.c opens the model, makes the requests and waits
 * for their answers; what they are made of and what becomes of the answers is of two kinds, a
 * classifier's and a detector's.
 */
#ifndef ENGINE_INFER_H
#define ENGINE_INFER_H

#include "engine/config.h"
#include "engine/progress.h"
#include "engine/reader.h"
#include "engine/step_times.h"
#include "models/weights.h"
#include "monitor/client.h"

struct infer_kind;

struct inference {
    const struct config *c;
    const struct infer_kind *kind;
    void *own; /* the kind's, zeroed before its open */
    struct model *model;
    struct reader reader;          /* its plan's batch is the kind's word */
    struct weights_writer *output; /* of --output; NULL: none */
    struct progress progress;
    struct monitor_client *monitor;
    struct step_times *times;
    uint64_t part_ns[STEP_PART_COUNT]; /* of all requests */
    uint64_t requests;                 /* to be done */
    uint64_t sent, done;               /* sent: and not lost again */
    uint64_t begun;     /* the most that were ever sent: a lost request's latency goes on */
    uint64_t *start_ns; /* in_flight of them: request r's is number r % in_flight */
};

struct infer_kind {
    size_t own_bytes;
    /* -EINVAL and a sentence where the words of the call are for the other kind. */
    int (*check_words)(const struct config *c);
    /* Opens the data, before the model takes memory: sets f->requests, reader.plan.batch. */
    int (*open)(struct inference *f);
    /* Opens what depends on all that: f->output. */
    int (*open_output)(struct inference *f);
    /* Request's samples into `in`, *n of them. Maybe again, after a lost connection. */
    int (*fill)(struct inference *f, uint64_t request, float *in, int *n);
    /* Its answer, in order, once; seconds: its latency. */
    int (*take)(struct inference *f, uint64_t request, const struct stream_answer *answer,
                double seconds);
    /* The summary; at least one request is done. */
    int (*print)(struct inference *f, double seconds);
    void (*close)(struct inference *f); /* what is in f->own; also after open failed */
};

extern const struct infer_kind infer_classes, infer_boxes;

#endif
