/*
 * A stream's life: one pinned buffer holds the rings to and from both neighbours and, where the
 * wire is f16 or there is no ring, the staging; one pass a slot is bound to them. Everything is
 * planned and placed here, once; the training step is stream_step.c, inference stream_infer.c.
 */
#include "engine/stream.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "engine/stream_parts.h"

static void place_ring(struct arena *a, struct frame_memory *m, int nslot, size_t aux_max,
                       size_t payload_max)
{
    m->nslot = (unsigned)nslot;
    m->aux_max = aux_max;
    m->payload_max = payload_max;
    a->used = (a->used + FRAME_PAGE - 1) / FRAME_PAGE * FRAME_PAGE;
    m->base = arena_take(a, frame_memory_bytes(m->nslot, aux_max, payload_max));
}

/* Elements of a micro-batch, in floats (what the layers read) and on the wire. */
static size_t wire_bytes(const struct stream *s, const struct tensor *t)
{
    return tensor_count(t) * dtype_bytes(s->plan.wire);
}

/* One end of slot i: the ring's payload if it can be computed in place, else staging. */
static float *place_end(struct arena *a, const struct stream *s, const struct frame_memory *ring,
                        int i, const struct tensor *t)
{
    if (ring && s->plan.wire == DTYPE_F32)
        return ring->base ? frame_payload(ring, (unsigned)i) : NULL;
    return arena_take(a, tensor_bytes(t));
}

/* Training. Counts while a->buf is NULL, then places: the same code for both. */
static void place_training(struct stream *s, struct arena *a)
{
    const struct stream_plan *p = &s->plan;
    int k = p->micro_batches;
    size_t labels = (size_t)s->micro_samples * sizeof(int32_t);
    bool computes = s->node->model->to > s->node->model->from;
    if (p->from_prev) {
        place_ring(a, &s->prev_rx, k, labels, wire_bytes(s, &s->prev_tensor));
        place_ring(a, &s->prev_tx, k, 0, p->gradient_to_prev ? wire_bytes(s, &s->prev_tensor) : 0);
    }
    if (p->to_next) {
        place_ring(a, &s->next_tx, k, labels, wire_bytes(s, &s->next_tensor));
        place_ring(a, &s->next_rx, k, 0, computes ? wire_bytes(s, &s->next_tensor) : 0);
    }
    for (int i = 0; i < k; i++) {
        struct stream_slot *slot = &s->slot[i];
        if (!p->to_next && !p->from_prev)
            slot->labels = arena_take(a, labels);
        if (p->to_next)
            slot->out = place_end(a, s, &s->next_tx, i, &s->next_tensor);
        if (!computes) {
            slot->in = slot->out;
            continue;
        }
        slot->in = place_end(a, s, p->from_prev ? &s->prev_rx : NULL, i, &s->prev_tensor);
        if (p->to_next)
            slot->dout = place_end(a, s, &s->next_rx, i, &s->next_tensor);
        if (p->from_prev && p->gradient_to_prev)
            slot->din = place_end(a, s, &s->prev_tx, i, &s->prev_tensor);
    }
}

static size_t answer_bytes(const struct stream *s)
{
    return stream_boxes(s) ? (size_t)s->node->model->boxes * BOX_FLOATS * sizeof(float)
                           : tensor_bytes(&s->answer_tensor);
}

/* Inference, likewise. Where there are both neighbours, one ring of answers is received into and
 * sent from: nothing is copied, and a slot is free for next once prev has got it. */
static void place_inference(struct stream *s, struct arena *a)
{
    const struct stream_plan *p = &s->plan;
    bool computes = s->node->model->to > s->node->model->from;
    struct frame_memory answers = {0};
    if (p->from_prev)
        place_ring(a, &s->prev_rx, s->nslot, 0, wire_bytes(s, &s->prev_tensor));
    if (p->to_next)
        place_ring(a, &s->next_tx, s->nslot, 0, wire_bytes(s, &s->next_tensor));
    if (p->from_prev || p->to_next)
        place_ring(a, &answers, s->nslot, 0, answer_bytes(s));
    if (p->from_prev)
        s->prev_tx = answers;
    if (p->to_next)
        s->next_rx = answers;
    for (int i = 0; i < s->nslot; i++) {
        struct stream_slot *slot = &s->slot[i];
        if (p->to_next)
            slot->out = place_end(a, s, &s->next_tx, i, &s->next_tensor);
        else if (p->from_prev && !stream_boxes(s))
            slot->out = answers.base ? frame_payload(&answers, (unsigned)i) : NULL;
        if (computes)
            slot->in = place_end(a, s, p->from_prev ? &s->prev_rx : NULL, i, &s->prev_tensor);
        else
            slot->in = slot->out;
    }
}

static void place_all(struct stream *s, struct arena *a)
{
    if (stream_infers(s))
        place_inference(s, a);
    else
        place_training(s, a);
}

static int open_memory(struct stream *s)
{
    struct arena a = {NULL, 0};
    place_all(s, &a);
    int ret = buffer_open(&s->memory, s->node->dev, PLACE_PINNED, a.used, "a stream's frames");
    if (ret < 0)
        return ret;
    a = (struct arena){&s->memory, 0};
    place_all(s, &a);
    return 0;
}

static int open_passes(struct stream *s)
{
    enum run_mode run = stream_infers(s) ? RUN_EVAL : RUN_TRAIN;
    for (int i = 0; i < s->nslot; i++) {
        struct stream_slot *slot = &s->slot[i];
        struct pass_ends ends = {slot->in, slot->out, slot->dout, slot->din};
        int ret = pass_open(&slot->pass, s->node->model, run, s->micro_samples, &ends);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int open_boxes(struct stream *s)
{
    size_t n = (size_t)s->node->model->boxes;
    s->box = calloc(n, sizeof(*s->box));
    s->scratch = calloc(n, sizeof(*s->scratch));
    return s->box && s->scratch ? 0 : err_set(ENOMEM, "no memory for %zu boxes", n);
}

int stream_open(struct stream **out, struct node *node, const struct stream_plan *plan)
{
    const struct model *m = node->model;
    bool computes = m->to > m->from;
    CHECK(plan->batch > 0 && (plan->in_flight > 0 || plan->micro_batches > 0));
    CHECK(plan->to_next || m->to == m->nlayer);
    CHECK(!plan->boxes || (plan->in_flight > 0 && plan->batch == 1 && m->boxes));
    CHECK(computes || (plan->to_next && !plan->from_prev));
    int nslot = plan->in_flight > 0 ? plan->in_flight : plan->micro_batches;
    if ((plan->from_prev || plan->to_next) && nslot > CHANNEL_MAX_SLOTS)
        return err_set(EPROTO, "a stream of %d %s at once, there can be %d: use fewer", nslot,
                       plan->in_flight > 0 ? "requests" : "micro-batches", CHANNEL_MAX_SLOTS);
    struct stream *s = calloc(1, sizeof(*s));
    if (s)
        s->slot = calloc((size_t)nslot, sizeof(*s->slot));
    if (!s || !s->slot) {
        free(s);
        return err_set(ENOMEM, "no memory for a stream of %d frames", nslot);
    }
    s->node = node;
    s->plan = *plan;
    s->nslot = nslot;
    if (stream_infers(s))
        s->plan.micro_batches = 1;
    s->micro_samples = (plan->batch + s->plan.micro_batches - 1) / s->plan.micro_batches;
    s->prev_tensor = model_crossing(m, m->from, s->micro_samples);
    s->next_tensor = model_crossing(m, m->to, s->micro_samples);
    s->answer_tensor = model_crossing(m, m->nlayer, s->micro_samples);
    int ret = open_memory(s);
    if (ret == 0 && computes)
        ret = open_passes(s);
    if (ret == 0 && stream_boxes(s) && !plan->to_next)
        ret = open_boxes(s);
    if (ret < 0) {
        stream_close(s);
        return ret;
    }
    *out = s;
    return 0;
}

void stream_close(struct stream *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->nslot; i++)
        pass_close(s->slot[i].pass);
    buffer_close(&s->memory);
    free(s->box);
    free(s->scratch);
    free(s->slot);
    free(s);
}

static void expect_tensor(struct wire_expect *x, enum dtype dtype, const struct tensor *t)
{
    x->dtype = dtype == DTYPE_F16 ? WIRE_F16 : WIRE_F32;
    x->ndim = (uint32_t)t->ndim;
    for (int i = 0; i < t->ndim; i++)
        x->dim[i] = (uint32_t)t->dim[i];
}

struct channel_rings stream_prev_rings(const struct stream *s)
{
    struct channel_rings r = {.rx = s->prev_rx, .tx = s->prev_tx};
    r.expect.types = 1u << WIRE_ACTIVATION;
    r.expect.label_classes = stream_infers(s) ? 0 : (uint32_t)s->node->model->classes;
    expect_tensor(&r.expect, s->plan.wire, &s->prev_tensor);
    return r;
}

struct channel_rings stream_next_rings(const struct stream *s)
{
    struct channel_rings r = {.rx = s->next_rx, .tx = s->next_tx};
    if (stream_infers(s)) {
        r.expect.types = 1u << WIRE_PREDICTION;
        expect_tensor(&r.expect, DTYPE_F32, &s->answer_tensor);
        if (stream_boxes(s)) /* as many as there are */
            r.expect.ndim = 0;
        return r;
    }
    bool computes = s->node->model->to > s->node->model->from;
    r.expect.types = computes ? 1u << WIRE_GRADIENT : 1u << WIRE_LOSS;
    expect_tensor(&r.expect, s->plan.wire, &s->next_tensor);
    return r;
}

const struct tensor *stream_prev_tensor(const struct stream *s)
{
    return &s->prev_tensor;
}

const struct tensor *stream_next_tensor(const struct stream *s)
{
    return &s->next_tensor;
}

void stream_set_channels(struct stream *s, struct channel *prev, struct channel *next)
{
    s->prev = prev;
    s->next = next;
    s->frame = s->answered = s->released = 0;
    s->mark_ns = clock_now_ns();
}

int stream_ready(struct stream *s)
{
    int ret = channel_wait_frame(s->prev, s->frame, 0);
    return ret == 0 ? 1 : ret == -ETIMEDOUT || ret == -EINTR ? 0 : ret;
}

size_t stream_bytes(const struct stream *s)
{
    size_t bytes = s->memory.bytes;
    for (int i = 0; i < s->nslot; i++)
        bytes += s->slot[i].pass ? pass_bytes(s->slot[i].pass) : 0;
    return bytes;
}

uint64_t stream_copied_bytes(const struct stream *s)
{
    return s->copied_bytes;
}
