/*
 * The training step, the same for every role: forward each micro-batch as it comes and send it on;
 * backward each as its gradient comes, the input's gradient first, so that it travels while the
 * weights' gradients are computed; update once all are done. The thread that owns the device runs
 * it.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/stream_parts.h"
#include "kernels/kernels.h"

/* Gradients of a mean over the batch are small numbers: f16 would lose those under 6e-8. A power
 * of two is exact, and undone where they arrive. */
static const float f16_gradient_scale = 1024;

/* Micro-batch `index` of a batch of n samples: sizes differ by one at most, the larger first. */
static struct micro micro_of(uint32_t step, int n, int k, int index)
{
    int count = n < k ? n : k, size = n / count, larger = n % count;
    return (struct micro){
        .step = step,
        .index = index,
        .count = count,
        .first = index * size + (index < larger ? index : larger),
        .n = size + (index < larger),
        .n_full = n,
    };
}

static struct stream_slot *slot_of(struct stream *s, int index)
{
    return &s->slot[(s->frame + (uint64_t)index) % (uint64_t)s->plan.micro_batches];
}

static bool on_wire_f16(const struct stream *s)
{
    return s->plan.wire == DTYPE_F16;
}

/* f16 alone: from a received payload into staging, and back. */
static void unpack(struct stream *s, float *dst, const void *payload, size_t count, float scale)
{
    struct device *d = s->node->dev;
    d->kernels->f16_to_f32(d, dst, payload, count);
    if (scale != 1)
        d->kernels->axpby(d, dst, dst, count, scale, 0);
    s->copied_bytes += count * sizeof(uint16_t);
}

static void pack(struct stream *s, void *payload, float *src, size_t count, float scale)
{
    struct device *d = s->node->dev;
    if (scale != 1)
        d->kernels->axpby(d, src, src, count, scale, 0);
    d->kernels->f32_to_f16(d, payload, src, count);
    s->copied_bytes += count * sizeof(uint16_t);
}

static void fill_head(const struct stream *s, struct wire_head *h, enum wire_type type,
                      const struct micro *m, const struct tensor *t)
{
    wire_head_init(h, type, 0);
    h->n_samples = (uint32_t)m->n;
    h->first_sample = (uint64_t)m->first;
    h->step = m->step;
    h->micro = (uint32_t)m->index;
    h->micro_count = (uint32_t)m->count;
    h->n_full = (uint32_t)m->n_full;
    if (!t)
        return;
    int dim[TENSOR_MAX_DIM];
    memcpy(dim, t->dim, sizeof(dim));
    dim[0] = m->n;
    wire_head_shape(h, on_wire_f16(s) ? WIRE_F16 : WIRE_F32, t->ndim, dim);
}

/* What prev says of its next micro-batch must be the split that this node would make itself. */
static int check_micro(const struct stream *s, const struct wire_head *h, int index,
                       const struct micro *before)
{
    if (h->n_full == 0 || h->n_full > (uint32_t)s->plan.batch)
        return err_set(EPROTO, "%s sent a batch of %u samples, agreed on at most %d",
                       channel_peer(s->prev), h->n_full, s->plan.batch);
    struct micro m = micro_of(h->step, (int)h->n_full, s->plan.micro_batches, index);
    if (h->micro != (uint32_t)index || h->micro_count != (uint32_t)m.count ||
        h->n_samples != (uint32_t)m.n || h->first_sample != (uint64_t)m.first)
        return err_set(
            EPROTO,
            "%s sent micro-batch %u of %u with %u samples from %llu, wanted %d of %d with "
            "%d from %d",
            channel_peer(s->prev), h->micro, h->micro_count, h->n_samples,
            (unsigned long long)h->first_sample, index, m.count, m.n, m.first);
    if (index > 0 && (h->step != before->step || h->n_full != (uint32_t)before->n_full))
        return err_set(EPROTO, "%s began step %u in the middle of step %u", channel_peer(s->prev),
                       h->step, before->step);
    return 0;
}

/* Takes micro-batch `index` in: from prev's slot or from the loader. */
static int take_input(struct stream *s, const struct feed *feed, int index)
{
    struct stream_slot *slot = slot_of(s, index);
    uint64_t frame = s->frame + (uint64_t)index;
    if (feed) {
        int n = loader_samples(feed->loader, feed->batch);
        slot->micro = micro_of(feed->step, n, s->plan.micro_batches, index);
        const struct micro *m = &slot->micro;
        int32_t *labels =
            s->next ? channel_tx_aux(s->next, (uint32_t)m->n * sizeof(int32_t)) : slot->labels;
        loader_read(feed->loader, feed->epoch, feed->batch, m->first, m->n, slot->in, labels);
        return 0;
    }
    const struct wire_head *h = channel_head(s->prev, frame);
    int ret = check_micro(s, h, index, &slot_of(s, 0)->micro);
    if (ret < 0)
        return ret;
    slot->micro = micro_of(h->step, (int)h->n_full, s->plan.micro_batches, index);
    if (s->next) /* the labels travel on: a few bytes, the only copy */
        memcpy(channel_tx_aux(s->next, h->aux_bytes), channel_aux(s->prev, frame), h->aux_bytes);
    if (on_wire_f16(s))
        unpack(s, slot->in, channel_payload(s->prev, frame),
               tensor_row(&s->prev_tensor) * (size_t)slot->micro.n, 1);
    return 0;
}

static int send_forward(struct stream *s, struct stream_slot *slot)
{
    const struct micro *m = &slot->micro;
    if (on_wire_f16(s))
        pack(s, channel_tx_payload(s->next), slot->out, tensor_row(&s->next_tensor) * (size_t)m->n,
             1);
    int ret = device_sync(s->node->dev);
    if (ret < 0)
        return ret;
    struct wire_head *h = channel_tx_head(s->next);
    fill_head(s, h, WIRE_ACTIVATION, m, &s->next_tensor);
    h->aux_bytes = (uint32_t)m->n * sizeof(int32_t);
    channel_publish(s->next);
    return 0;
}

static int forward(struct stream *s, const struct feed *feed, int index)
{
    struct stream_slot *slot = slot_of(s, index);
    int ret = take_input(s, feed, index);
    if (ret < 0)
        return ret;
    const struct micro *m = &slot->micro;
    if (slot->pass) {
        pass_set(slot->pass, m->n, s->plan.seed, m->step, (uint64_t)m->first);
        pass_forward(slot->pass);
    }
    if (s->next)
        return send_forward(s, slot);
    const int32_t *labels = feed ? slot->labels : channel_aux(s->prev, s->frame + (uint64_t)index);
    return pass_loss(slot->pass, labels, m->n_full, &slot->loss);
}

/* The answer of next: the loss, and where this node has layers, their gradient. */
static int take_answer(struct stream *s, struct stream_slot *slot, uint64_t frame)
{
    const struct wire_head *h = channel_head(s->next, frame);
    const struct micro *m = &slot->micro;
    if (h->step != m->step || h->micro != (uint32_t)m->index || h->n_samples != (uint32_t)m->n)
        return err_set(EPROTO,
                       "%s answered step %u, micro-batch %u of %u samples, wanted step %u, "
                       "micro-batch %d of %d",
                       channel_peer(s->next), h->step, h->micro, h->n_samples, m->step, m->index,
                       m->n);
    slot->loss = h->loss;
    if (slot->pass && on_wire_f16(s))
        unpack(s, slot->dout, channel_payload(s->next, frame),
               tensor_row(&s->next_tensor) * (size_t)m->n, 1 / f16_gradient_scale);
    return 0;
}

static int send_backward(struct stream *s, struct stream_slot *slot)
{
    const struct micro *m = &slot->micro;
    bool gradient = s->plan.gradient_to_prev;
    if (gradient && on_wire_f16(s))
        pack(s, channel_tx_payload(s->prev), slot->din, tensor_row(&s->prev_tensor) * (size_t)m->n,
             f16_gradient_scale);
    int ret = device_sync(s->node->dev);
    if (ret < 0)
        return ret;
    struct wire_head *h = channel_tx_head(s->prev);
    fill_head(s, h, gradient ? WIRE_GRADIENT : WIRE_LOSS, m, gradient ? &s->prev_tensor : NULL);
    h->loss = slot->loss;
    channel_publish(s->prev);
    return 0;
}

static int backward(struct stream *s, int index)
{
    struct stream_slot *slot = slot_of(s, index);
    struct node *node = s->node;
    int ret = s->next ? take_answer(s, slot, s->frame + (uint64_t)index) : 0;
    if (ret < 0)
        return ret;
    if (slot->pass)
        pass_backward_data(slot->pass);
    if (s->prev && (ret = send_backward(s, slot)) < 0)
        return ret;
    if (slot->pass) {
        if (!s->update_begun)
            sgd_begin(&node->sgd, node->model);
        s->update_begun = true;
        pass_backward_weights(slot->pass, sgd_scale(&node->sgd, node->model));
        if ((ret = device_sync(node->dev)) < 0)
            return ret;
    }
    if (s->prev)
        channel_release(s->prev);
    if (s->next)
        channel_release(s->next);
    return 0;
}

/* 1, 0, or the channel's error. A frame that is awaited in the middle of a step and a clean end
 * instead: that is an error here. A stop is not: the step goes on, see wait_for_more. */
static int ready(struct channel *c, int ret)
{
    if (ret == 0 || ret == -ETIMEDOUT || ret == -EINTR)
        return ret == 0;
    if (ret == -ENODATA)
        return err_set(EPIPE, "%s ended the stream in the middle of a step", channel_peer(c));
    return ret;
}

static int can_forward(struct stream *s, int index)
{
    int ret = 1;
    if (s->prev)
        ret = ready(s->prev, channel_wait_frame(s->prev, s->frame + (uint64_t)index, 0));
    if (ret == 1 && s->next)
        ret = ready(s->next, channel_wait_slot(s->next, 0));
    return ret;
}

static int can_backward(struct stream *s, int index)
{
    int ret = 1;
    if (s->next)
        ret = ready(s->next, channel_wait_frame(s->next, s->frame + (uint64_t)index, 0));
    if (ret == 1 && s->prev)
        ret = ready(s->prev, channel_wait_slot(s->prev, 0));
    return ret;
}

/* Both neighbours are silent. The first stop lets the step finish; the second does not. */
static int wait_for_more(struct stream *s, bool answer, uint64_t since_ns, bool *stopped)
{
    int limit = answer ? s->node->answer_timeout_ms : s->node->input_timeout_ms;
    int passed = (int)(clock_seconds_since(since_ns) * 1e3);
    if (passed >= limit)
        return err_set(ETIMEDOUT, "nothing from %s for %d s in the middle of a step",
                       channel_peer(answer ? s->next : s->prev), limit / 1000);
    int ret = net_wait(s->node->net, limit - passed);
    if (ret == -EINTR && !*stopped) {
        *stopped = true;
        net_resume(s->node->net);
        return 0;
    }
    return ret < 0 ? ret : 0;
}

static int run_micros(struct stream *s, const struct feed *feed)
{
    int begun = 0, done = 0, count = 1;
    uint64_t since = clock_now_ns();
    bool stopped = false;
    while (done < count) {
        int ret = 0;
        if (done < begun && (ret = can_backward(s, done)) == 1) {
            ret = backward(s, done++);
        } else if (ret == 0 && begun < count && (ret = can_forward(s, begun)) == 1) {
            ret = forward(s, feed, begun++);
            count = slot_of(s, 0)->micro.count;
        } else if (ret == 0) {
            ret = wait_for_more(s, s->next && done < begun, since, &stopped);
            if (ret < 0)
                return ret;
            continue;
        }
        if (ret < 0)
            return ret;
        since = clock_now_ns();
    }
    if (stopped)
        net_stop(s->node->net);
    return 0;
}

int stream_step(struct stream *s, const struct feed *feed, struct step_result *result)
{
    CHECK((feed != NULL) == (s->prev == NULL));
    struct node *node = s->node;
    s->update_begun = false;
    int ret = run_micros(s, feed);
    if (ret < 0)
        return ret;
    if (s->update_begun)
        sgd_end(&node->sgd, node->model);
    ret = device_sync(node->dev);
    const struct micro *m = &slot_of(s, 0)->micro;
    *result = (struct step_result){.step = m->step, .samples = m->n_full};
    for (int i = 0; i < m->count; i++)
        result->loss_sum += slot_of(s, i)->loss;
    s->frame += (uint64_t)m->count;
    node->steps++;
    return ret;
}
