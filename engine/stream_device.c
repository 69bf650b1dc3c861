/*
 * A stream and its device: what crosses between pinned memory and the device's, and what waits for
 * the device. Work is queued ahead; what the network may have once it is done stands in a ring of
 * pending entries, in the device's order. On a device that does things at once each is due at once.
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

void stream_later(struct stream *s, enum stream_then then, uint64_t frame)
{
    struct device *d = s->node->dev;
    CHECK(s->npending < s->pending_room);
    struct stream_pending *p =
        &s->pending[(s->pending_first + (uint64_t)s->npending++) % (uint64_t)s->pending_room];
    p->then = then;
    p->frame = frame;
    if (p->fence)
        d->ops->fence_set(d, p->fence);
}

int stream_due(struct stream *s, bool wait, struct stream_pending *due)
{
    if (s->npending == 0)
        return 0;
    *due = s->pending[s->pending_first % (uint64_t)s->pending_room];
    int ret = device_look(s->node->dev, due->fence, wait);
    if (ret != 1)
        return ret;
    s->pending_first++;
    s->npending--;
    return 1;
}

int stream_drain(struct stream *s)
{
    s->npending = 0;
    return device_sync(s->node->dev);
}

int stream_device_open(struct stream *s)
{
    struct device *d = s->node->dev;
    int room = s->nslot * THEN_COUNT, ret = 0;
    s->pending = calloc((size_t)room, sizeof(*s->pending));
    if (!s->pending)
        return err_set(ENOMEM, "no memory for a stream of %d frames", s->nslot);
    s->pending_room = room;
    for (int i = 0; i < room && ret == 0 && d->ops->fence_open; i++)
        ret = d->ops->fence_open(d, &s->pending[i].fence);
    return ret;
}

void stream_device_close(struct stream *s)
{
    struct device *d = s->node->dev;
    for (int i = 0; i < s->pending_room && d->ops->fence_close; i++)
        d->ops->fence_close(d, s->pending[i].fence);
    free(s->pending);
}
