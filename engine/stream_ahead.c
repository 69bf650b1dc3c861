/*
 * Reading ahead: a GPU computes while this thread reads and converts the next batch, which then
 * goes to the GPU beside the kernels. It lies in memory of its own, since the step's backward still
 * reads its input; a step begins by copying it from there on the device. The CPU has no queue: it
 * would read instead of computing.
 */
#include <string.h>

#include "engine/stream_parts.h"
#include "kernels/kernels.h"

bool stream_reads_ahead(const struct stream *s)
{
    const struct model *m = s->node->model;
    return !stream_infers(s) && !s->plan.from_prev && m->to > m->from &&
           s->node->dev->ops->fence_open;
}

bool stream_ahead_take(struct stream *s, const struct feed *feed, struct stream_slot *slot)
{
    struct device *d = s->node->dev;
    struct stream_ahead *a = &s->ahead[s->ahead_at];
    const struct micro *m = &slot->micro;
    if (!a->holds || a->epoch != feed->epoch || a->batch != feed->batch || m->index != 0)
        return false;
    size_t count = tensor_row(&s->prev_tensor) * (size_t)m->n;
    memcpy(slot->labels, a->labels, (size_t)m->n * sizeof(*a->labels));
    d->kernels->axpby(d, slot->in.floats, a->end.floats, count, 1, 0);
    a->holds = false;
    s->ahead_at = !s->ahead_at;
    return true;
}

void stream_ahead_read(struct stream *s, const struct feed *feed)
{
    struct stream_ahead *a = &s->ahead[s->ahead_at];
    uint64_t epoch = feed->epoch, batch = feed->batch + 1;
    if (batch == feed->loader->batches) {
        epoch++;
        batch = 0;
    }
    if (epoch >= feed->epochs || (a->holds && a->epoch == epoch && a->batch == batch))
        return;
    int n = loader_samples(feed->loader, batch);
    struct micro m = stream_micro(feed->step + 1, n, s->plan.micro_batches, 0);
    loader_read(feed->loader, epoch, batch, m.first, m.n, a->end.host, a->labels);
    stream_fetch(s, &a->end, &s->prev_tensor, m.n, 1);
    a->epoch = epoch;
    a->batch = batch;
    a->holds = true;
}
