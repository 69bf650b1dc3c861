/* The insides of a stream, for stream.c (life) and stream_step.c (the step) alone. */
#ifndef ENGINE_STREAM_PARTS_H
#define ENGINE_STREAM_PARTS_H

#include "engine/stream.h"
#include "models/pass.h"

/* A micro-batch: `index` of `count` of its step, samples [first, first + n) of n_full. */
struct micro {
    uint32_t step;
    int index, count, first, n, n_full;
};

/* What pass i works with. With f32 on the wire these are the payloads of slot i of the rings; with
 * f16 they are staging in f32. NULL where there is none. */
struct stream_slot {
    struct pass *pass; /* NULL: a node without layers */
    float *in, *out, *dout, *din;
    int32_t *labels; /* of a stream without next and without prev */
    struct micro micro;
    double loss; /* sum over the micro-batch's samples, once known */
};

struct stream {
    struct node *node;
    struct stream_plan plan;
    int micro_samples; /* the most of one micro-batch */
    struct tensor prev_tensor, next_tensor;
    struct channel *prev, *next;
    uint64_t frame; /* of both channels: the first of the step to come */
    struct buffer memory;
    struct frame_memory prev_rx, prev_tx, next_rx, next_tx;
    struct stream_slot *slot; /* micro_batches of them */
    bool update_begun;
    uint64_t copied_bytes;
};

#endif
