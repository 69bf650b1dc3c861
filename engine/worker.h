/*
 * A node that others connect to: it listens, admits the streams that fit, connects each of them to
 * the next node where there is one, and runs their steps in turn, one whole step at a time. A
 * stream that fails ends with one sentence; the others, the weights and the worker go on.
 */
#ifndef ENGINE_WORKER_H
#define ENGINE_WORKER_H

#include <stdio.h>

#include "engine/stream.h"

struct worker_options {
    const char *listen_host;
    int listen_port;
    const char *next_host; /* NULL: this node holds the last layers */
    int next_port;
    int batch, micro_batches; /* what a neighbour must say, 0: whatever it says */
    int wire;                 /* enum dtype, -1: whatever */
    int codec;
    const char *save; /* written whenever a stream has ended, and at the end; NULL: not */
    FILE *log;        /* step,loss of every step of every stream; NULL: none */
};

/* Until node->net is stopped: 0, after the step in progress is finished, the streams are ended and
 * the weights saved. -errno and a sentence where it cannot listen or save, or the network side
 * itself breaks. */
int worker_run(struct node *node, const struct worker_options *opt);

#endif
