/*
 * One stream of micro-batches through this node: its passes, the rings between it and its two
 * neighbours. A role is what is missing: without prev it is fed by a loader, without next it ends
 * in the loss. A frame is a tensor is a slot: what is received lies where the first layer reads it,
 * what the last layer writes lies where it is sent from. Frame n uses slot and pass n % K for ever.
 *
 *     struct stream_plan plan = {.batch = 64, .micro_batches = 4, .wire = DTYPE_F32,
 *                                .to_next = true, .seed = 1};
 *     if (stream_open(&s, &node, &plan) < 0) ...
 *     struct channel_rings rings = stream_next_rings(s);
 *     channel_connect(&c, node.net, host, port, &hello, &rings);
 *     if (channel_wait_open(c, -1) < 0) ...
 *     stream_set_next(s, c);
 *     while (...)
 *         stream_step(s, &feed, &result);         // stream_step.c
 *     channel_end(c), channel_close(c);
 *     stream_close(s);
 */
#ifndef ENGINE_STREAM_H
#define ENGINE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "datasets/dataset.h"
#include "engine/choices.h"
#include "engine/detect.h"
#include "models/model.h"
#include "models/optimizer.h"
#include "net/net.h"

/* What all streams of a process share. Lent; the streams run one step at a time. */
struct node {
    struct device *dev;
    struct model *model;     /* bound; its slice may be empty (a source) */
    struct choices *choices; /* own kernels or cuDNN's; NULL: there is no choice */
    struct sgd sgd;
    struct net *net;       /* NULL where no stream has a neighbour */
    int input_timeout_ms;  /* prev silent so long in the middle of a step: the stream is given up */
    int answer_timeout_ms; /* next likewise; it may be computing, or serving others in turn */
    uint64_t steps;        /* updates that the weights have seen */
};

struct stream_plan {
    int batch;         /* samples of a whole batch, at most */
    int micro_batches; /* K; inference: none, a request is a frame */
    int in_flight;     /* > 0: inference, with so many requests under way at once */
    enum dtype wire;   /* of what crosses, DTYPE_F32 or DTYPE_F16; predictions are always f32 */
    bool from_prev, to_next;
    bool gradient_to_prev; /* false: prev has no layers and is answered with the loss alone */
    uint64_t seed;         /* of dropout */
    uint32_t rounds;       /* epochs, or requests: what statistics are named after */
    /* inference of a detector, batch 1: the last node suppresses and answers with boxes */
    bool boxes;
    struct detect_limits limits;
};

/* Where a stream without prev gets its samples: batch `batch` of `epoch` of the loader. With epochs
 * > 0, those of the run, a device with a queue reads the next batch while this one is computed. */
struct feed {
    struct loader *loader;
    uint64_t epoch, batch, epochs;
    uint32_t step;
};

/* What the thread that runs a step does in it, from the end of the step before: until the input is
 * at hand (the batch read, or prev's frame); computing forward and the loss, backward and the
 * update; handing frames to the network; waiting for next's answer or room. Of an inference, from
 * the answer before: queue holds what becomes of that answer too, forward what the last node does
 * to find boxes, and there is no backward. */
enum step_part { STEP_QUEUE, STEP_FORWARD, STEP_BACKWARD, STEP_SEND, STEP_WAIT, STEP_PART_COUNT };

struct step_result {
    uint32_t step;
    int samples;
    double loss_sum; /* over the samples, in order of the micro-batches */
    uint64_t part_ns[STEP_PART_COUNT];
};

struct stream;

/* Allocates everything: rings, passes, staging. -ENOMEM, -EINVAL, -EPROTO (more at once than a ring
 * takes) and a sentence. */
int stream_open(struct stream **s, struct node *node, const struct stream_plan *plan);
void stream_close(struct stream *s); /* after its channels are closed; NULL is fine */

/* What channel_accept of prev and channel_connect of next want. The memory is the stream's. */
struct channel_rings stream_prev_rings(const struct stream *s);
struct channel_rings stream_next_rings(const struct stream *s);

/* What comes from prev and goes to next: a whole micro-batch's shape, as the hello says it. */
const struct tensor *stream_prev_tensor(const struct stream *s);
const struct tensor *stream_next_tensor(const struct stream *s);

/* The stream uses these channels from their frame 0 on; whoever made them closes them. Both at the
 * same time: a stream whose neighbour has failed goes on with new channels on both sides. */
void stream_set_channels(struct stream *s, struct channel *prev, struct channel *next);

/* 1 if prev's first frame of a step is there, 0 if not, -ENODATA at its clean end, else its
 * error. */
int stream_ready(struct stream *s);

/*
 * One training step: K micro-batches in flight, then one update. feed is NULL with prev. It
 * allocates nothing. Where a neighbour fails, or the node is stopped a second time (-EINTR), the
 * weights are as before the step, unless the update had begun: with one micro-batch and no
 * momentum it begins when the gradient is there, so that it is then finished. The sentence says
 * which neighbour.
 */
int stream_step(struct stream *s, const struct feed *feed, struct step_result *result);

/*
 * Inference, stream_infer.c. Requests are answered in the order in which they were begun; nothing
 * is allocated. A node without prev:
 *
 *     while (... stream_pending(s) < plan.in_flight && there are more) {
 *         if (stream_request(s, &in) < 0) ...
 *         fill in with n samples
 *         if (stream_send(s, number, n) < 0) ...
 *     }
 *     if (stream_answer(s, &answer) < 0) ...      // the oldest request's
 *     use answer.out
 *     stream_answer_done(s);
 *
 * A node that is stopped (net_stop) waits on for what is under way; at the second stop it gives
 * up: -EINTR. Other errors: a neighbour failed, and the sentence says which.
 */
struct stream_answer {
    uint32_t number; /* as it was sent */
    int samples;     /* of the request */
    uint64_t part_ns[STEP_PART_COUNT];
    /* what the model's last layer gives, dim[0] is the request's n; or with plan.boxes and a
     * next node (count, BOX_FLOATS) of boxes, see detect_unpack */
    struct tensor out;
};

/* What one call of stream_serve answered: nothing, or one request. */
struct stream_served {
    int requests, samples;
    uint32_t number;
    uint64_t part_ns[STEP_PART_COUNT];
};

int stream_pending(const struct stream *s); /* requests sent and not answered yet */
int stream_request(struct stream *s, float **in);
int stream_send(struct stream *s, uint32_t number, int n);
int stream_answer(struct stream *s, struct stream_answer *answer);
void stream_answer_done(struct stream *s);

/* A node with prev: moves one request one step on, forward or back, where one can be moved: 1;
 * nothing to do: 0; prev's clean end: -ENODATA, with no request under way. */
int stream_serve(struct stream *s, struct stream_served *served);

/* Memory that it owns, without that of a device which has its own. */
size_t stream_host_bytes(const struct stream *s);

/* Payload bytes that the CPU moved between memories in all steps: 0 with f32 on the wire. */
uint64_t stream_copied_bytes(const struct stream *s);

#endif
