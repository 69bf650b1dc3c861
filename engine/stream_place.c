/*
 * Where a stream's memory lies: the rings to and from both neighbours and the ends of its passes,
 * in two buffers. Pinned: what the network, a loader or a reader of answers touches. The device's:
 * shadows of those on a device that has its own memory, and f32 beside f16. Called twice, to count
 * and to place.
 */
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

/* A micro-batch on the wire. */
static size_t wire_bytes(const struct stream *s, const struct tensor *t)
{
    return tensor_count(t) * dtype_bytes(s->plan.wire);
}

/* What kernels have of `host`, which holds t as end->dtype. */
static void place_inside(const struct stream *s, struct stream_places *to, struct stream_end *end,
                         const struct tensor *t)
{
    end->device = end->host;
    if (s->node->dev->ops->upload)
        end->device = arena_take(&to->device, tensor_count(t) * dtype_bytes(end->dtype));
    end->floats = end->device;
    if (end->dtype != DTYPE_F32)
        end->floats = arena_take(&to->device, tensor_bytes(t));
}

/* An end in slot i of a ring. */
static void place_end(const struct stream *s, struct stream_places *to, struct stream_end *end,
                      const struct frame_memory *ring, int i, enum dtype dtype,
                      const struct tensor *t)
{
    end->dtype = dtype;
    end->host = ring->base ? frame_payload(ring, (unsigned)i) : NULL;
    place_inside(s, to, end, t);
}

/* An end that no neighbour touches: what a loader fills in, what is answered to this process. */
static void place_own(const struct stream *s, struct stream_places *to, struct stream_end *end,
                      const struct tensor *t)
{
    end->dtype = DTYPE_F32;
    end->host = arena_take(&to->pinned, tensor_bytes(t));
    place_inside(s, to, end, t);
}

/* A node without layers: the loader fills in next's slot itself, or f32 beside it. */
static void place_source(const struct stream *s, struct stream_places *to, struct stream_slot *slot,
                         int i)
{
    struct stream_end *out = &slot->out;
    out->dtype = s->plan.wire;
    out->host = s->next_tx.base ? frame_payload(&s->next_tx, (unsigned)i) : NULL;
    out->device = out->floats = out->host;
    if (out->dtype != DTYPE_F32)
        out->floats = arena_take(&to->pinned, tensor_bytes(&s->next_tensor));
    slot->in = (struct stream_end){DTYPE_F32, out->floats, out->floats, out->floats};
}

static void place_training(struct stream *s, struct stream_places *to)
{
    const struct stream_plan *p = &s->plan;
    int k = p->micro_batches;
    size_t labels = (size_t)s->micro_samples * sizeof(int32_t);
    bool computes = s->node->model->to > s->node->model->from;
    if (p->from_prev) {
        place_ring(&to->pinned, &s->prev_rx, k, labels, wire_bytes(s, &s->prev_tensor));
        place_ring(&to->pinned, &s->prev_tx, k, 0,
                   p->gradient_to_prev ? wire_bytes(s, &s->prev_tensor) : 0);
    }
    if (p->to_next) {
        place_ring(&to->pinned, &s->next_tx, k, labels, wire_bytes(s, &s->next_tensor));
        place_ring(&to->pinned, &s->next_rx, k, 0, computes ? wire_bytes(s, &s->next_tensor) : 0);
    }
    for (int i = 0; i < 2 && stream_reads_ahead(s); i++) {
        s->ahead[i].labels = arena_take(&to->pinned, labels);
        place_own(s, to, &s->ahead[i].end, &s->prev_tensor);
    }
    for (int i = 0; i < k; i++) {
        struct stream_slot *slot = &s->slot[i];
        if (!p->from_prev)
            slot->labels = arena_take(&to->pinned, labels);
        if (!computes) {
            place_source(s, to, slot, i);
            continue;
        }
        if (p->from_prev)
            place_end(s, to, &slot->in, &s->prev_rx, i, p->wire, &s->prev_tensor);
        else
            place_own(s, to, &slot->in, &s->prev_tensor);
        if (p->to_next) {
            place_end(s, to, &slot->out, &s->next_tx, i, p->wire, &s->next_tensor);
            place_end(s, to, &slot->dout, &s->next_rx, i, p->wire, &s->next_tensor);
        }
        if (p->from_prev && p->gradient_to_prev)
            place_end(s, to, &slot->din, &s->prev_tx, i, p->wire, &s->prev_tensor);
    }
}

static size_t answer_bytes(const struct stream *s)
{
    return stream_boxes(s) ? (size_t)s->node->model->boxes * BOX_FLOATS * sizeof(float)
                           : tensor_bytes(&s->answer_tensor);
}

/* Inference, likewise. Where there are both neighbours, one ring of answers is received into and
 * sent from: nothing is copied, and a slot is free for next once prev has got it. */
static void place_inference(struct stream *s, struct stream_places *to)
{
    const struct stream_plan *p = &s->plan;
    bool computes = s->node->model->to > s->node->model->from;
    struct frame_memory answers = {0};
    if (p->from_prev)
        place_ring(&to->pinned, &s->prev_rx, s->nslot, 0, wire_bytes(s, &s->prev_tensor));
    if (p->to_next)
        place_ring(&to->pinned, &s->next_tx, s->nslot, 0, wire_bytes(s, &s->next_tensor));
    if (p->from_prev || p->to_next)
        place_ring(&to->pinned, &answers, s->nslot, 0, answer_bytes(s));
    if (p->from_prev)
        s->prev_tx = answers;
    if (p->to_next)
        s->next_rx = answers;
    for (int i = 0; i < s->nslot; i++) {
        struct stream_slot *slot = &s->slot[i];
        if (!computes) {
            place_source(s, to, slot, i);
            continue;
        }
        if (p->from_prev)
            place_end(s, to, &slot->in, &s->prev_rx, i, p->wire, &s->prev_tensor);
        else
            place_own(s, to, &slot->in, &s->prev_tensor);
        if (p->to_next)
            place_end(s, to, &slot->out, &s->next_tx, i, p->wire, &s->next_tensor);
        else if (p->from_prev && !stream_boxes(s))
            place_end(s, to, &slot->out, &answers, i, DTYPE_F32, &s->answer_tensor);
        else
            place_own(s, to, &slot->out, &s->answer_tensor);
    }
}

void stream_place(struct stream *s, struct stream_places *to)
{
    if (stream_infers(s))
        place_inference(s, to);
    else
        place_training(s, to);
}
