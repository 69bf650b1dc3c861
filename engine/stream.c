/*
 * A stream's life: the memory that stream_place.c lays out, and one pass a slot, bound to it.
 * Everything is planned and placed once; the training step is stream_step.c, inference
 * stream_infer.c.
 */
#include "engine/stream.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "engine/stream_parts.h"

static int open_memory(struct stream *s)
{
    struct stream_places to = {{NULL, 0}, {NULL, 0}};
    stream_place(s, &to);
    int ret =
        buffer_open(&s->memory, s->node->dev, PLACE_PINNED, to.pinned.used, "a stream's frames");
    if (ret == 0)
        ret = buffer_open(&s->shadow, s->node->dev, PLACE_DEVICE, to.device.used,
                          "a stream's frames on the device");
    if (ret < 0)
        return ret;
    to = (struct stream_places){{&s->memory, 0}, {&s->shadow, 0}};
    stream_place(s, &to);
    return stream_device_open(s);
}

static int open_passes(struct stream *s)
{
    enum run_mode run = stream_infers(s) ? RUN_EVAL : RUN_TRAIN;
    for (int i = 0; i < s->nslot; i++) {
        struct stream_slot *slot = &s->slot[i];
        struct pass_ends ends = {slot->in.floats, slot->out.floats, slot->dout.floats,
                                 slot->din.floats};
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
    if (s->nlane > 0)
        stream_drain(s); /* of a stream that failed; what the device says was said */
    for (int i = 0; i < s->nslot; i++)
        pass_close(s->slot[i].pass);
    stream_device_close(s);
    buffer_close(&s->shadow);
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
    stream_drain(s); /* of a step that failed; the next one says what the device has */
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

size_t stream_host_bytes(const struct stream *s)
{
    size_t bytes = s->memory.bytes;
    if (s->node->dev->ops->upload)
        return bytes;
    bytes += s->shadow.bytes;
    for (int i = 0; i < s->nslot; i++)
        bytes += s->slot[i].pass ? pass_bytes(s->slot[i].pass) : 0;
    return bytes;
}

uint64_t stream_copied_bytes(const struct stream *s)
{
    return s->copied_bytes;
}
