/* What this node says of itself to a neighbour, and what it wants of one: hello.h filled from
 * the node. */
#ifndef ENGINE_GREETING_H
#define ENGINE_GREETING_H

#include "engine/stream.h"

enum dtype greeting_dtype(enum wire_dtype wire);
enum wire_dtype greeting_wire(enum dtype dtype);

/* For the node that this one connects to. step: of the first frame to come. */
struct hello greeting_hello(const struct node *node, const struct stream *s,
                            const struct stream_plan *plan, int codec, uint64_t step);

/* Of a neighbour that connects. batch, micro_batches 0, wire -1: whatever it says. */
struct hello_want greeting_want(const struct node *node, enum hello_mode mode, int batch,
                                int micro_batches, int wire, int codec);

/* This node accepts. */
struct answer greeting_accept(const struct node *node);

#endif
