/*
 * Inference through a stream: each frame is a request, up to in_flight of them are under way.
 * Forward is queued as they come; answers come back in the same order, from the last node through
 * the ring of answers that every node in between receives into and sends from. The thread that owns
 * the device runs it.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/stream_parts.h"

static struct stream_slot *slot_of(struct stream *s, uint64_t frame)
{
    return &s->slot[frame % (uint64_t)s->nslot];
}

/* The parts since the request answered before are this one's. */
static void take_parts(struct stream *s, uint64_t part_ns[STEP_PART_COUNT])
{
    memcpy(part_ns, s->part_ns, sizeof(s->part_ns));
    memset(s->part_ns, 0, sizeof(s->part_ns));
}

static struct tensor boxes_tensor(int n)
{
    return tensor_f32(2, (int[]){n, BOX_FLOATS});
}

int stream_pending(const struct stream *s)
{
    return (int)(s->frame - s->answered);
}

/* Requests whose forward the device has finished, and next or prev has the output. */
static uint64_t handed_on(const struct stream *s)
{
    return s->frame - (uint64_t)s->npending;
}

/* The answer lies in the slot that is sent from; nboxes of them where it is boxes. */
static void send_answer(struct stream *s, int nboxes, struct stream_served *served)
{
    const struct micro *m = &slot_of(s, s->answered)->micro;
    struct wire_head *h = channel_tx_head(s->prev);
    stream_fill_head(h, WIRE_PREDICTION, m, stream_boxes(s) ? NULL : &s->answer_tensor, DTYPE_F32);
    if (stream_boxes(s))
        wire_head_shape(h, WIRE_F32, 2, (int[]){nboxes, BOX_FLOATS});
    channel_publish(s->prev);
    s->answered++;
    stream_mark(s, STEP_SEND);
    *served = (struct stream_served){.requests = 1, .samples = m->n, .number = m->step};
    take_parts(s, served->part_ns);
}

/* The last node's raw predictions, to boxes in the slot that is sent from. */
static int suppress(struct stream *s)
{
    const struct model *m = s->node->model;
    int n = detect_boxes(s->box, slot_of(s, s->answered)->out.host, m->boxes, m->classes,
                         &s->plan.limits, s->scratch);
    detect_pack(channel_tx_payload(s->prev), s->box, n);
    stream_mark(s, STEP_FORWARD);
    return n;
}

/* Gives the neighbours what the device has finished. wait: for the oldest such thing. It ends
 * behind an answer to prev: *served is one. */
static int hand_on(struct stream *s, bool wait, struct stream_served *served)
{
    struct stream_pending due;
    int ret = 0;
    for (; !(served && served->requests) && (ret = stream_due(s, wait, &due)) == 1; wait = false) {
        stream_mark(s, STEP_FORWARD);
        if (due.then == THEN_PUBLISH_NEXT) {
            stream_fill_head(channel_tx_head(s->next), WIRE_ACTIVATION,
                             &slot_of(s, due.frame)->micro, &s->next_tensor, s->plan.wire);
            channel_publish(s->next);
            stream_mark(s, STEP_SEND);
        }
        if (!s->prev)
            continue;
        channel_release(s->prev);
        if (due.then == THEN_ANSWER)
            send_answer(s, stream_boxes(s) ? suppress(s) : 0, served);
    }
    return ret < 0 ? ret : 0;
}

/* The slice's layers over request s->frame, and on to where its output goes. (queued) */
static void forward(struct stream *s)
{
    struct stream_slot *slot = slot_of(s, s->frame);
    const struct micro *m = &slot->micro;
    if (slot->pass)
        model_fold(s->node->model); /* weights may have been loaded since stream_open */
    stream_lane(s, slot->lane);
    stream_lane_after(s, 0);
    stream_fetch(s, &slot->in, &s->prev_tensor, m->n, 1);
    if (slot->pass) {
        pass_set(slot->pass, m->n, s->plan.seed, m->step, 0);
        pass_forward(slot->pass);
    }
    stream_deliver(s, &slot->out, s->next ? &s->next_tensor : &s->answer_tensor, m->n, 1);
    stream_later(s, s->next ? THEN_PUBLISH_NEXT : THEN_ANSWER, s->frame++);
    stream_lane(s, 0);
    stream_mark(s, STEP_FORWARD);
}

static int check_answer(struct stream *s)
{
    const struct wire_head *h = channel_head(s->next, s->answered);
    const struct micro *m = &slot_of(s, s->answered)->micro;
    if (stream_boxes(s) && (h->ndim != 2 || h->dim[1] != BOX_FLOATS))
        return err_set(EPROTO, "%s answered with something else than boxes", channel_peer(s->next));
    if (h->step == m->step && h->n_samples == (uint32_t)m->n && h->n_full == (uint32_t)m->n &&
        h->micro == 0 && h->micro_count == 1)
        return 0;
    return err_set(EPROTO, "%s answered request %u of %u samples, wanted request %u of %d",
                   channel_peer(s->next), h->step, h->n_samples, m->step, m->n);
}

/* Waits until look() says 1: for next, which may be computing. Where it fails after the node was
 * stopped, the node is so again: what was under way is not begun anew. */
static int wait_for_next(struct stream *s, int (*look)(struct stream *s))
{
    uint64_t since = clock_now_ns();
    int ret;
    while ((ret = look(s)) == 0) {
        ret = s->npending > 0 ? hand_on(s, true, NULL) : stream_wait(s, true, since, &s->stopping);
        if (ret < 0)
            break;
    }
    if (ret < 0 && s->stopping)
        net_stop(s->node->net);
    return ret < 0 ? ret : 0;
}

static int look_slot(struct stream *s)
{
    return stream_look_slot(s, s->next, s->frame);
}

static int look_answer(struct stream *s)
{
    return stream_look(s, s->next, channel_wait_frame(s->next, s->answered, 0));
}

int stream_request(struct stream *s, float **in)
{
    CHECK(stream_infers(s) && !s->prev && stream_pending(s) < s->nslot);
    if (!s->mark_ns)
        s->mark_ns = clock_now_ns();
    stream_mark(s, STEP_QUEUE);
    int ret = s->next ? wait_for_next(s, look_slot) : 0;
    stream_mark(s, STEP_WAIT);
    *in = slot_of(s, s->frame)->in.host;
    return ret;
}

int stream_send(struct stream *s, uint32_t number, int n)
{
    stream_mark(s, STEP_QUEUE);
    slot_of(s, s->frame)->micro = stream_micro(number, n, 1, 0);
    forward(s);
    return hand_on(s, false, NULL);
}

int stream_answer(struct stream *s, struct stream_answer *answer)
{
    CHECK(stream_pending(s) > 0);
    struct stream_slot *slot = slot_of(s, s->answered);
    int ret = 0;
    stream_mark(s, STEP_QUEUE);
    while (ret == 0 && (s->next ? s->npending > 0 : handed_on(s) <= s->answered))
        ret = hand_on(s, true, NULL);
    if (ret == 0 && s->next)
        ret = wait_for_next(s, look_answer);
    if (ret == 0 && s->next)
        ret = check_answer(s);
    if (ret < 0)
        return ret;
    if (s->next)
        stream_mark(s, STEP_WAIT);
    take_parts(s, answer->part_ns);
    answer->number = slot->micro.step;
    answer->samples = slot->micro.n;
    answer->out = s->answer_tensor;
    answer->out.dim[0] = slot->micro.n;
    answer->out.data = slot->out.host;
    if (!s->next)
        return 0;
    if (stream_boxes(s))
        answer->out = boxes_tensor((int)channel_head(s->next, s->answered)->dim[0]);
    answer->out.data = channel_payload(s->next, s->answered);
    return 0;
}

void stream_answer_done(struct stream *s)
{
    if (s->next)
        channel_release(s->next);
    s->answered++;
}

/* The slots of answers that prev has got are next's again. */
static void release_answers(struct stream *s)
{
    for (; s->released < s->answered && channel_sent(s->prev, s->released); s->released++)
        channel_release(s->next);
}

/* Next's oldest answer, if it is there, to prev: 1. */
static int pass_back(struct stream *s, struct stream_served *served)
{
    int ret = look_answer(s);
    if (ret == 1)
        ret = stream_look(s, s->prev, channel_wait_slot(s->prev, 0));
    if (ret != 1)
        return ret;
    ret = check_answer(s);
    if (ret < 0)
        return ret;
    CHECK(channel_payload(s->next, s->answered) == channel_tx_payload(s->prev));
    stream_mark(s, STEP_WAIT);
    send_answer(s, (int)channel_head(s->next, s->answered)->dim[0], served);
    return 1;
}

/* Prev's next request, if it is there and there is room for what becomes of it: 1. */
static int take_request(struct stream *s, struct stream_served *served)
{
    int ret = channel_wait_frame(s->prev, s->frame, 0);
    if (ret == -ENODATA && stream_pending(s) == 0)
        return ret;
    ret = stream_look(s, s->prev, ret);
    if (ret != 1 || stream_pending(s) == s->nslot)
        return ret < 0 ? ret : 0;
    struct channel *to = s->next ? s->next : s->prev;
    ret = stream_look_slot(s, to, s->frame);
    if (ret != 1)
        return ret;
    const struct wire_head *h = channel_head(s->prev, s->frame);
    ret = stream_check_micro(s, h, 0, NULL);
    if (ret < 0)
        return ret;
    stream_mark(s, s->next && stream_pending(s) > 0 ? STEP_WAIT : STEP_QUEUE);
    slot_of(s, s->frame)->micro = stream_micro(h->step, (int)h->n_full, 1, 0);
    forward(s);
    ret = hand_on(s, false, served);
    return ret < 0 ? ret : 1;
}

int stream_serve(struct stream *s, struct stream_served *served)
{
    CHECK(stream_infers(s) && s->prev);
    *served = (struct stream_served){0};
    if (!s->mark_ns)
        s->mark_ns = clock_now_ns();
    int ret = hand_on(s, false, served);
    if (ret < 0 || served->requests > 0)
        return ret < 0 ? ret : 1;
    if (s->next) {
        release_answers(s);
        if (handed_on(s) > s->answered)
            ret = pass_back(s, served);
    }
    if (ret == 0)
        ret = take_request(s, served);
    if (ret == 0 && s->npending > 0) { /* nothing but the device will wake this node */
        ret = hand_on(s, true, served);
        return ret < 0 ? ret : 1;
    }
    return ret;
}
