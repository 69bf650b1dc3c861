/* The insides of a stream, for stream.c (life), stream_place.c (memory), stream_step.c (training),
 * stream_ahead.c, stream_infer.c, stream_frame.c and stream_device.c (what the step and inference
 * share) alone. */
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

/*
 * One end of a pass. Where kernels work on pinned memory and f32 crosses, the three are one
 * address: a ring's payload, or what a loader fills, or an answer. All NULL where there is none.
 */
struct stream_end {
    enum dtype dtype; /* of host and device */
    void *host;       /* pinned: what the network, a loader or a reader of answers works on */
    void *device;     /* the same on a device that has it copied there and back (ops->upload) */
    float *floats;    /* what the pass is bound to: device in f32 */
};

/* What pass i works with, in slot i of the rings. */
struct stream_slot {
    struct pass *pass; /* NULL: a node without layers */
    int lane;          /* of the device: where it runs */
    struct stream_end in, out, dout, din;
    int32_t *labels; /* of a stream without prev: the loader fills them in here */
    struct micro micro;
    double loss; /* sum over the micro-batch's samples, once known */
};

/* The first micro-batch of a batch to come, already on the device. */
struct stream_ahead {
    struct stream_end end;
    int32_t *labels;
    uint64_t epoch, batch;
    bool holds;
};

/* What is to be done once the device has finished what was queued before. */
enum stream_then {
    THEN_PUBLISH_NEXT, /* the output is in next's slot */
    THEN_PUBLISH_PREV, /* training: the loss is known, the gradient in prev's slot */
    THEN_ANSWER,       /* inference: the last node's predictions can be read */
    THEN_RELEASE,      /* training: nobody reads the slots of both neighbours' frames any more */
    THEN_COUNT
};

struct stream_pending {
    enum stream_then then;
    uint64_t frame;  /* of both channels, or the request's number in order */
    uint64_t number; /* of all that were queued */
    struct fence *fence;
};

/* Those of one kind, oldest first: a ring of nslot. Kinds do not wait for each other. */
struct stream_waiting {
    struct stream_pending *entry;
    int count;
    uint64_t first;
};

struct stream {
    struct node *node;
    struct stream_plan plan;
    int nslot;                                             /* frames under way at once */
    int nlane;                                             /* of the device that it uses */
    int micro_samples;                                     /* the most of one micro-batch */
    struct tensor prev_tensor, next_tensor, answer_tensor; /* answer_tensor: of an inference */
    struct channel *prev, *next;
    uint64_t frame; /* of both channels: the first of the step, or the request, to come */
    /* inference: requests answered, and those whose answer next may overwrite; both <= frame */
    uint64_t answered, released;
    bool stopping;             /* inference: the node was stopped once, what is under way goes on */
    struct box *box, *scratch; /* of the last node, where it answers with boxes */
    struct buffer memory;      /* pinned: rings, loader's input, answers */
    struct buffer shadow;      /* the device's: ends that are copied or converted */
    struct frame_memory prev_rx, prev_tx, next_rx, next_tx;
    struct stream_slot *slot; /* nslot of them */
    /* One is read into while a pass may still copy from the other: ahead[ahead_at] is the next that
     * is read into, or taken from. */
    struct stream_ahead ahead[2];
    int ahead_at;
    struct stream_waiting waiting[THEN_COUNT]; /* queued on the device and not handed on */
    int npending;                              /* of all kinds */
    uint64_t nqueued;
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

/*
 * stream_ahead.c, training without prev on a device with a queue. The next batch is read, and goes
 * to the device, while this one is computed: its first micro-batch, for what follows is read as the
 * passes before are queued. take: micro-batch 0 of the feed into its slot, true; false: it was not
 * read ahead. read: what comes after the feed's, once it is all queued; nothing where it is there.
 */
bool stream_reads_ahead(const struct stream *s);
bool stream_ahead_take(struct stream *s, const struct feed *feed, struct stream_slot *slot);
void stream_ahead_read(struct stream *s, const struct feed *feed);

/* stream_place.c: where everything lies. Counts with arenas that have no buffer, then places: the
 * same code for both. */
struct stream_places {
    struct arena pinned, device;
};
void stream_place(struct stream *s, struct stream_places *to);

/*
 * stream_device.c. fetch: n samples of shape t from the end's host side to what the pass reads,
 * times scale; deliver: from what the pass wrote to the host side, where they are once a pending
 * entry that is added after it is due. (queued)
 */
void stream_fetch(struct stream *s, const struct stream_end *end, const struct tensor *t, int n,
                  float scale);
void stream_deliver(struct stream *s, const struct stream_end *end, const struct tensor *t, int n,
                    float scale);

/* device_ops.lane and lane_after, where the stream's passes have lanes: else all is in one. Whoever
 * leaves lane 0 comes back to it, unless it fails. */
void stream_lane(struct stream *s, int lane);
void stream_lane_after(struct stream *s, int before);

/* `then` is due once all that was queued until now in this lane is done. */
void stream_later(struct stream *s, enum stream_then then, uint64_t frame);
/* 1 and an entry that is due, of its kind the oldest; `wait`: not before there is one; 0: not yet,
 * or there is none; the device's error. It is taken off. */
int stream_due(struct stream *s, bool wait, struct stream_pending *due);
/* What is queued runs out, nothing is handed on. The device's error. */
int stream_drain(struct stream *s);

int stream_device_open(struct stream *s);
void stream_device_close(struct stream *s);

/* Whether the slot of `frame` in c's ring of frames to send may be written: earlier frames may wait
 * for the device still. As stream_look. */
int stream_look_slot(const struct stream *s, struct channel *c, uint64_t frame);

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
