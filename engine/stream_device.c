/*
 * A stream and its device: in which lane passes run, what crosses between pinned memory and the
 * device's, and what waits for the device. Work is queued ahead; what the network may have once it
 * is done stands in rings of pending entries, one a kind. On a device that does things at once each
 * is due at once.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "engine/stream_parts.h"
#include "kernels/kernels.h"

void stream_fetch(struct stream *s, const struct stream_end *end, const struct tensor *t, int n,
                  float scale)
{
    struct device *d = s->node->dev;
    size_t count = tensor_row(t) * (size_t)n, bytes = count * dtype_bytes(end->dtype);
    if (end->device != end->host)
        d->ops->upload(d, end->device, end->host, bytes);
    if ((void *)end->floats == end->device)
        return;
    d->kernels->f16_to_f32(d, end->floats, end->device, count);
    if (scale != 1)
        d->kernels->axpby(d, end->floats, end->floats, count, scale, 0);
    s->copied_bytes += bytes;
}

void stream_deliver(struct stream *s, const struct stream_end *end, const struct tensor *t, int n,
                    float scale)
{
    struct device *d = s->node->dev;
    size_t count = tensor_row(t) * (size_t)n, bytes = count * dtype_bytes(end->dtype);
    if ((void *)end->floats != end->device) {
        if (scale != 1)
            d->kernels->axpby(d, end->floats, end->floats, count, scale, 0);
        d->kernels->f32_to_f16(d, end->device, end->floats, count);
        s->copied_bytes += bytes;
    }
    if (end->device != end->host)
        d->ops->download(d, end->host, end->device, bytes);
}

void stream_lane(struct stream *s, int lane)
{
    if (s->nlane > 1)
        s->node->dev->ops->lane(s->node->dev, lane);
}

void stream_lane_after(struct stream *s, int before)
{
    if (s->nlane > 1)
        s->node->dev->ops->lane_after(s->node->dev, before);
}

static struct stream_pending *entry_of(const struct stream *s, struct stream_waiting *w, int i)
{
    return &w->entry[(w->first + (uint64_t)i) % (uint64_t)s->nslot];
}

void stream_later(struct stream *s, enum stream_then then, uint64_t frame)
{
    struct device *d = s->node->dev;
    struct stream_waiting *w = &s->waiting[then];
    CHECK(w->count < s->nslot);
    struct stream_pending *p = entry_of(s, w, w->count++);
    s->npending++;
    p->then = then;
    p->frame = frame;
    p->number = s->nqueued++;
    if (p->fence)
        d->ops->fence_set(d, p->fence);
}

/* As stream_due, of one kind that is not empty. */
static int due_of(struct stream *s, struct stream_waiting *w, bool wait, struct stream_pending *due)
{
    *due = *entry_of(s, w, 0);
    int ret = device_look(s->node->dev, due->fence, wait);
    if (ret != 1)
        return ret;
    w->first++;
    w->count--;
    s->npending--;
    return 1;
}

/* The one to wait for: the oldest that a neighbour waits for, else slots of the next step. */
static struct stream_waiting *most_wanted(struct stream *s)
{
    struct stream_waiting *most = NULL;
    for (int then = 0; then < THEN_COUNT; then++) {
        struct stream_waiting *w = &s->waiting[then];
        if (w->count == 0 || (then == THEN_RELEASE && most))
            continue;
        if (!most || entry_of(s, w, 0)->number < entry_of(s, most, 0)->number)
            most = w;
    }
    return most;
}

int stream_due(struct stream *s, bool wait, struct stream_pending *due)
{
    int ret = 0;
    for (int then = 0; then < THEN_COUNT && ret == 0; then++)
        if (s->waiting[then].count > 0)
            ret = due_of(s, &s->waiting[then], false, due);
    return ret == 0 && wait && s->npending > 0 ? due_of(s, most_wanted(s), true, due) : ret;
}

int stream_drain(struct stream *s)
{
    for (int then = 0; then < THEN_COUNT; then++)
        s->waiting[then].count = 0;
    s->npending = 0;
    stream_lane(s, 0);
    return device_sync(s->node->dev);
}

/* Running statistics move with each forward of a training: micro-batches keep their order. */
static bool forwards_in_order(const struct stream *s)
{
    const struct model *m = s->node->model;
    for (int i = m->from; i < m->to && !stream_infers(s); i++)
        for (int j = 0; j < m->layer[i]->nparam; j++)
            if (m->layer[i]->param[j].state)
                return true;
    return false;
}

/* Lane 0 is for what all passes have in common: the weights. */
static int open_lanes(struct stream *s)
{
    struct device *d = s->node->dev;
    s->nlane = 1;
    if (s->nslot == 1 || !d->ops->lanes || forwards_in_order(s))
        return 0;
    int ret = d->ops->lanes(d, 1 + s->nslot);
    if (ret < 0)
        return ret;
    s->nlane = ret;
    for (int i = 0; i < s->nslot && ret > 1; i++)
        s->slot[i].lane = 1 + i % (ret - 1);
    return 0;
}

int stream_device_open(struct stream *s)
{
    struct device *d = s->node->dev;
    for (int then = 0; then < THEN_COUNT; then++) {
        struct stream_waiting *w = &s->waiting[then];
        w->entry = calloc((size_t)s->nslot, sizeof(*w->entry));
        if (!w->entry)
            return err_set(ENOMEM, "no memory for a stream of %d frames", s->nslot);
        for (int i = 0; i < s->nslot && d->ops->fence_open; i++) {
            int ret = d->ops->fence_open(d, &w->entry[i].fence);
            if (ret < 0)
                return ret;
        }
    }
    return open_lanes(s);
}

void stream_device_close(struct stream *s)
{
    struct device *d = s->node->dev;
    for (int then = 0; then < THEN_COUNT; then++) {
        struct stream_waiting *w = &s->waiting[then];
        for (int i = 0; w->entry && i < s->nslot && d->ops->fence_close; i++)
            d->ops->fence_close(d, w->entry[i].fence);
        free(w->entry);
    }
}
