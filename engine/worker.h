/*
 * A node that others connect to: it listens, admits the streams that fit, connects each of them to
 * the next node where there is one, and runs their steps in turn, one whole step or one request at
 * a time. A stream that fails ends with one sentence; the others, the weights and the worker go
 * on.
 */
#ifndef ENGINE_WORKER_H
#define ENGINE_WORKER_H

#include "engine/loss_log.h"
#include "engine/step_times.h"
#include "engine/stream.h"
#include "monitor/client.h"

struct worker_options {
    const char *listen_host;
    int listen_port;
    const char *next_host; /* NULL: this node holds the last layers */
    int next_port;
    bool infers;              /* serves inferences: no step, no update */
    int batch, micro_batches; /* what a neighbour must say, 0: whatever it says */
    int in_flight;            /* likewise, of inferences */
    int wire;                 /* enum dtype, -1: whatever */
    int codec;
    const char *save;     /* written whenever a stream has ended, and at the end; NULL: not */
    struct loss_log *log; /* a row for every step of every stream; NULL: none */
    struct monitor_client *monitor; /* told of every step and request; NULL: not */
    struct step_times *times;       /* likewise */
    /* Where the model is not bound yet: called once, for the first neighbour that fits but for its
     * last layer, to give this node the layers from there on and their weights. -errno and a
     * sentence: the neighbour is refused. */
    int (*bind)(void *arg, int from);
    /* Called when a stream begins, before its first step or request; NULL: not. */
    void (*begins)(void *arg, const struct stream_plan *plan);
    void *arg;
};

/* Until node->net is stopped: 0, after the step in progress is finished, the streams are ended and
 * the weights saved. -errno and a sentence where it cannot listen or save, or the network side
 * itself breaks. */
int worker_run(struct node *node, const struct worker_options *opt);

#endif
