/*
 * The training step, the same for every role: forward each micro-batch as it comes and send it on;
 * backward each as its gradient comes, the input's gradient first, so that it travels while the
 * weights' gradients are computed; update once all are done. Work is queued on the device as soon
 * as what it needs is there; what neighbours get of it is handed on when it is done. The thread
 * that owns the device runs it.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/stream_parts.h"

/* Gradients of a mean over the batch are small numbers: f16 would lose those under 6e-8. A power
 * of two is exact, and undone where they arrive. */
static const float f16_gradient_scale = 1024;

static struct stream_slot *slot_of(struct stream *s, int index)
{
    return &s->slot[(s->frame + (uint64_t)index) % (uint64_t)s->nslot];
}

/* Takes micro-batch `index` in: from prev's slot or from the loader, now or ahead. (queued) */
static int take_input(struct stream *s, const struct feed *feed, int index)
{
    struct stream_slot *slot = slot_of(s, index);
    if (feed) {
        int n = loader_samples(feed->loader, feed->batch);
        slot->micro = stream_micro(feed->step, n, s->plan.micro_batches, index);
        const struct micro *m = &slot->micro;
        stream_lane(s, slot->lane);
        if (stream_ahead_take(s, feed, slot))
            return 0;
        loader_read(feed->loader, feed->epoch, feed->batch, m->first, m->n, slot->in.host,
                    slot->labels);
    } else {
        const struct wire_head *h = channel_head(s->prev, s->frame + (uint64_t)index);
        int ret = stream_check_micro(s, h, index, &slot_of(s, 0)->micro);
        if (ret < 0)
            return ret;
        slot->micro = stream_micro(h->step, (int)h->n_full, s->plan.micro_batches, index);
        stream_lane(s, slot->lane);
    }
    stream_fetch(s, &slot->in, &s->prev_tensor, slot->micro.n, 1);
    return 0;
}

static const int32_t *labels_of(const struct stream *s, const struct stream_slot *slot,
                                uint64_t frame)
{
    return s->prev ? channel_aux(s->prev, frame) : slot->labels;
}

static void publish_forward(struct stream *s, struct stream_slot *slot, uint64_t frame)
{
    const struct micro *m = &slot->micro;
    struct wire_head *h = channel_tx_head(s->next);
    stream_mark(s, STEP_FORWARD);
    stream_fill_head(h, WIRE_ACTIVATION, m, &s->next_tensor, s->plan.wire);
    h->aux_bytes = (uint32_t)m->n * sizeof(int32_t);
    /* a few bytes, the only copy */
    memcpy(channel_tx_aux(s->next, h->aux_bytes), labels_of(s, slot, frame), h->aux_bytes);
    channel_publish(s->next);
    stream_mark(s, STEP_SEND);
}

static void publish_backward(struct stream *s, struct stream_slot *slot)
{
    const struct tensor *gradient = s->plan.gradient_to_prev ? &s->prev_tensor : NULL;
    stream_mark(s, STEP_BACKWARD);
    if (!s->next)
        slot->loss = pass_loss_sum(slot->pass);
    if (!s->prev)
        return;
    struct wire_head *h = channel_tx_head(s->prev);
    stream_fill_head(h, gradient ? WIRE_GRADIENT : WIRE_LOSS, &slot->micro, gradient, s->plan.wire);
    h->loss = slot->loss;
    channel_publish(s->prev);
    stream_mark(s, STEP_SEND);
}

static void release(struct stream *s)
{
    stream_mark(s, STEP_BACKWARD);
    if (s->prev)
        channel_release(s->prev);
    if (s->next)
        channel_release(s->next);
}

/* Gives neighbours what the device has finished. wait: for the oldest such thing. */
static int hand_on(struct stream *s, bool wait)
{
    struct stream_pending due;
    int ret;
    for (; (ret = stream_due(s, wait, &due)) == 1; wait = false) {
        struct stream_slot *slot = &s->slot[due.frame % (uint64_t)s->nslot];
        if (due.then == THEN_PUBLISH_NEXT)
            publish_forward(s, slot, due.frame);
        else if (due.then == THEN_PUBLISH_PREV)
            publish_backward(s, slot);
        else
            release(s);
    }
    return ret;
}

static int forward(struct stream *s, const struct feed *feed, int index)
{
    struct stream_slot *slot = slot_of(s, index);
    uint64_t frame = s->frame + (uint64_t)index;
    int ret = take_input(s, feed, index);
    if (ret < 0)
        return ret;
    stream_mark(s, STEP_QUEUE);
    const struct micro *m = &slot->micro;
    if (slot->pass) {
        pass_set(slot->pass, m->n, s->plan.seed, m->step, (uint64_t)m->first);
        pass_forward(slot->pass);
    }
    if (s->next) {
        stream_deliver(s, &slot->out, &s->next_tensor, m->n, 1);
        stream_later(s, THEN_PUBLISH_NEXT, frame);
    } else {
        pass_loss(slot->pass, labels_of(s, slot, frame), m->n_full);
    }
    stream_lane(s, 0);
    stream_mark(s, STEP_FORWARD);
    return hand_on(s, false);
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
    return 0;
}

static int backward(struct stream *s, int index)
{
    struct stream_slot *slot = slot_of(s, index);
    struct node *node = s->node;
    uint64_t frame = s->frame + (uint64_t)index;
    int ret = s->next ? take_answer(s, slot, frame) : 0;
    if (ret < 0)
        return ret;
    stream_lane(s, slot->lane);
    if (slot->pass && s->next)
        stream_fetch(s, &slot->dout, &s->next_tensor, slot->micro.n, 1 / f16_gradient_scale);
    if (slot->pass)
        pass_backward_data(slot->pass);
    if (s->plan.gradient_to_prev)
        stream_deliver(s, &slot->din, &s->prev_tensor, slot->micro.n, f16_gradient_scale);
    stream_later(s, THEN_PUBLISH_PREV, frame);
    stream_lane(s, 0);
    stream_lane_after(s, slot->lane); /* gradients of weights add up in the order of steps */
    if ((ret = hand_on(s, false)) < 0)
        return ret;
    if (slot->pass) {
        if (!s->update_begun)
            sgd_begin(&node->sgd, node->model);
        s->update_begun = true;
        pass_backward_weights(slot->pass, sgd_scale(&node->sgd, node->model));
    }
    stream_later(s, THEN_RELEASE, frame);
    stream_mark(s, STEP_BACKWARD);
    return hand_on(s, false);
}

/* All of this batch is on its way through the device, or with next: time for the one after it. */
static void read_ahead(struct stream *s, const struct feed *feed, enum step_part before)
{
    if (!feed || !feed->epochs || !stream_reads_ahead(s))
        return;
    stream_mark(s, before);
    stream_ahead_read(s, feed);
    stream_mark(s, STEP_QUEUE);
}

static int can_forward(struct stream *s, int index)
{
    int ret = 1;
    if (s->prev)
        ret = stream_look(s, s->prev, channel_wait_frame(s->prev, s->frame + (uint64_t)index, 0));
    if (ret == 1 && s->next)
        ret = stream_look_slot(s, s->next, s->frame + (uint64_t)index);
    return ret;
}

static int can_backward(struct stream *s, int index)
{
    int ret = 1;
    if (s->next)
        ret = stream_look(s, s->next, channel_wait_frame(s->next, s->frame + (uint64_t)index, 0));
    if (ret == 1 && s->prev)
        ret = stream_look_slot(s, s->prev, s->frame + (uint64_t)index);
    return ret;
}

/* *stopped: the node was stopped meanwhile, which only the first time lets the step finish. */
static int run_micros(struct stream *s, const struct feed *feed, bool *stopped)
{
    int begun = 0, done = 0, count = 1;
    uint64_t since = clock_now_ns();
    while (done < count) {
        int ret = hand_on(s, false);
        if (ret == 0 && done < begun && (ret = can_backward(s, done)) == 1) {
            ret = backward(s, done++);
        } else if (ret == 0 && begun < count && (ret = can_forward(s, begun)) == 1) {
            ret = forward(s, feed, begun++);
            count = slot_of(s, 0)->micro.count;
        } else if (ret == 0 && s->npending > 0) {
            ret = hand_on(s, true);
        } else if (ret == 0) {
            bool answer = s->next && done < begun;
            if (begun == count)
                read_ahead(s, feed, STEP_WAIT);
            ret = stream_wait(s, answer, since, stopped);
            stream_mark(s, answer ? STEP_WAIT : STEP_QUEUE);
            if (ret < 0)
                return ret;
            continue;
        }
        if (ret < 0)
            return ret;
        since = clock_now_ns();
    }
    return 0;
}

int stream_step(struct stream *s, const struct feed *feed, struct step_result *result)
{
    CHECK((feed != NULL) == (s->prev == NULL) && !stream_infers(s));
    struct node *node = s->node;
    s->update_begun = false;
    memset(s->part_ns, 0, sizeof(s->part_ns));
    if (!s->mark_ns)
        s->mark_ns = clock_now_ns();
    bool stopped = false;
    for (int lane = 1; lane < s->nlane; lane++) { /* this step's passes see the last one's update */
        stream_lane(s, lane);
        stream_lane_after(s, 0);
    }
    stream_lane(s, 0);
    int ret = run_micros(s, feed, &stopped);
    if (stopped) /* whether it has finished or failed: it is not begun anew */
        net_stop(node->net);
    if (ret == 0 && s->update_begun)
        sgd_end(&node->sgd, node->model);
    if (ret == 0)
        read_ahead(s, feed, STEP_BACKWARD);
    while (ret == 0 && s->npending > 0)
        ret = hand_on(s, true);
    int device = stream_drain(s);
    if (ret < 0 || device < 0)
        return device < 0 ? device : ret;
    stream_mark(s, STEP_BACKWARD);
    const struct micro *m = &slot_of(s, 0)->micro;
    *result = (struct step_result){.step = m->step, .samples = m->n_full};
    for (int i = 0; i < m->count; i++)
        result->loss_sum += slot_of(s, i)->loss;
    memcpy(result->part_ns, s->part_ns, sizeof(result->part_ns));
    s->frame += (uint64_t)m->count;
    node->steps++;
    return 0;
}
