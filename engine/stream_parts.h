/* The insides of a stream, for stream.c (life), stream_step.c (training), stream_infer.c and
 * stream_frame.c (what those two share) alone. */
#ifndef ENGINE_STREAM_PARTS_H
#define ENGINE_STREAM_PARTS_H

#include "base/clock.h"
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
    int nslot;                                             /* frames under way at once */
    int micro_samples;                                     /* the most of one micro-batch */
    struct tensor prev_tensor, next_tensor, answer_tensor; /* answer_tensor: of an inference */
    struct channel *prev, *next;
    uint64_t frame; /* of both channels: the first of the step, or the request, to come */
    /* inference: requests answered, and those whose answer next may overwrite; both <= frame */
    uint64_t answered, released;
    bool stopping;             /* inference: the node was stopped once, what is under way goes on */
    struct box *box, *scratch; /* of the last node, where it answers with boxes */
    struct buffer memory;
    struct frame_memory prev_rx, prev_tx, next_rx, next_tx;
    struct stream_slot *slot; /* nslot of them */
    bool update_begun;
    uint64_t copied_bytes;
    uint64_t mark_ns, part_ns[STEP_PART_COUNT]; /* up to when the parts are counted */
};

/* What was done since the mark before was this. */
static inline void stream_mark(struct stream *s, enum step_part part)
{
    uint64_t now = clock_now_ns();
    s->part_ns[part] += now - s->mark_ns;
    s->mark_ns = now;
}

static inline bool stream_infers(const struct stream *s)
{
    return s->plan.in_flight > 0;
}

static inline bool stream_wire_f16(const struct stream *s)
{
    return s->plan.wire == DTYPE_F16;
}

/* Answers are boxes that the last node makes. */
static inline bool stream_boxes(const struct stream *s)
{
    return s->plan.boxes && (s->plan.to_next || s->plan.from_prev);
}

/* Micro-batch `index` of a batch of n samples: sizes differ by one at most, the larger first. */
struct micro stream_micro(uint32_t step, int n, int k, int index);

/* f16 alone: from a received payload into staging, and back. */
void stream_unpack(struct stream *s, float *dst, const void *payload, size_t count, float scale);
void stream_pack(struct stream *s, void *payload, float *src, size_t count, float scale);

/* t: what the frame carries, NULL: nothing. */
void stream_fill_head(struct wire_head *h, enum wire_type type, const struct micro *m,
                      const struct tensor *t, enum dtype dtype);

/* What prev says of its next micro-batch must be the split that this node would make itself. */
int stream_check_micro(const struct stream *s, const struct wire_head *h, int index,
                       const struct micro *before);

/* Of channel_wait_* with timeout 0: 1, 0, or the channel's error. A frame that is awaited in the
 * middle of a step and a clean end instead: that is an error here. A stop is not, see
 * stream_wait. */
int stream_look(const struct stream *s, struct channel *c, int ret);

/* Both neighbours are silent since since_ns, and the answer of next, or else the input from prev,
 * is awaited. The first stop lets the step finish (*stopped); the second does not: -EINTR. */
int stream_wait(struct stream *s, bool answer, uint64_t since_ns, bool *stopped);

#endif
