/*
 * The way of a node that reads data to the next node: connected as soon as that is there, and again
 * when it was lost, at the step where it was lost. What a lost connection had begun is done again;
 * the next node's weights may have seen such a step already (DESIGN.md says what is promised).
 *
 *     struct upstream u = {.node = &node, .stream = s, .plan = &plan, .host = host, .port = port};
 *     if (upstream_connect(&u, 0) < 0) ...
 *     while (...)
 *         upstream_step(&u, &feed, &result);
 *     upstream_close(&u);
 */
#ifndef ENGINE_UPSTREAM_H
#define ENGINE_UPSTREAM_H

#include "engine/stream.h"

struct upstream {
    struct node *node;
    struct stream *stream;
    const struct stream_plan *plan;
    const char *host;
    int port, codec;
    struct channel *channel; /* NULL while there is none */
    int lost;                /* connections since the last step or request that succeeded */
};

/* Waits as long as it takes. -EINTR: the node was stopped; else the next node refused, with its
 * sentence. step: the one that comes first. */
int upstream_connect(struct upstream *u, uint64_t step);

/* stream_step, and where the connection was lost, said in one log line, connected and done
 * again. Errors as upstream_connect, or a step that fails time after time. */
int upstream_step(struct upstream *u, const struct feed *feed, struct step_result *result);

/* After step or request `number` (and what followed it) failed with ret: the same for who makes
 * requests: 0 where the stream is connected again, from this one on. */
int upstream_again(struct upstream *u, int ret, uint64_t number);

/* A clean end after the last step; closes in any case. */
void upstream_close(struct upstream *u);

#endif
