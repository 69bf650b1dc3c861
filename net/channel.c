/*
 * Frames in and out of a connection, on the loop's side. A receive is posted while a slot is free,
 * head first: nothing of a frame's body is received before its head has been checked. One send is
 * under way at a time; a short transfer goes on where it stopped.
 */
#include "net/channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/log.h"
#include "net/loop.h"

enum { LOST_SEND_MS = 200 };

void channel_set_state(struct channel *c, int state)
{
    atomic_store(&c->state, state);
    c->net->dirty = true;
}

/* A channel that nobody holds becomes this connection's. Its rings are never ready until they are
 * lent memory. */
void channel_prepare(struct channel *c, bool outgoing)
{
    static const struct frame_memory nothing;

    atomic_store(&c->commands, 0);
    atomic_store(&c->starved, false);
    c->outgoing = c->owned = outgoing;
    c->user_ended = c->closing = c->refusing = c->end_wanted = c->end_sent = c->dropped = c->zc =
        false;
    c->after = AFTER_NOTHING;
    c->fd = -1;
    c->deadline_ns = c->sent = c->moved = c->stall_check_ns = 0;
    c->lost_error = c->error = 0;
    frame_ring_init(&c->tx, &nothing);
    frame_ring_init(&c->rx, &nothing);
    c->receive = (struct transport_op){.done = channel_receive_done};
    c->send = (struct transport_op){.done = channel_send_done, .notified = channel_notified};
    c->phase = RECEIVE_NOTHING;
    c->sending = SEND_NOTHING;
    c->send_left = c->receive_left = c->receive_want = c->greet_out_bytes = 0;
    c->connecting = CONNECT_IDLE;
    c->lookup = NULL;
    c->text[0] = c->fail_text[0] = c->peer[0] = 0;
    for (int i = 0; i < COUNT_COUNT; i++)
        atomic_store(&c->count[i], 0);
}

static void start_receive(struct channel *c)
{
    size_t max = c->net->opt.transfer_max > 0 ? (size_t)c->net->opt.transfer_max : 1u << 30;

    c->receive.fd = c->fd;
    c->receive.buf = c->receive_at;
    c->receive.bytes = c->receive_left < max ? c->receive_left : max;
    c->receive.whole = c->phase == STREAM_BODY;
    c->net->ops->receive(c->net->transport, &c->receive);
}

void channel_begin_receive(struct channel *c, enum receive_phase phase, void *at, size_t bytes)
{
    c->phase = phase;
    c->receive_at = at;
    c->receive_left = c->receive_want = bytes;
    start_receive(c);
}

/* channel_pump_receive starts it: after what is to be sent, which somebody waits for. */
static void next_head(struct channel *c)
{
    c->phase = STREAM_HEAD;
    c->receive_left = c->receive_want = sizeof(struct wire_head);
    c->receive.try_first = false;
}

void channel_pump_receive(struct channel *c)
{
    if (c->phase != STREAM_HEAD || c->receive.active || c->dropped ||
        c->receive_left != c->receive_want)
        return;
    /* Said before the last look: a release after it sees the flag. */
    if (!frame_ring_can_fill(&c->rx)) {
        atomic_store(&c->starved, true);
        if (!frame_ring_can_fill(&c->rx))
            return;
    }
    atomic_store(&c->starved, false);
    c->receive_at = (char *)frame_ring_head(&c->rx, frame_ring_next(&c->rx));
    start_receive(c);
}

void channel_begin_stream(struct channel *c)
{
    c->zc = c->net->opt.send_zc != NET_ZC_NEVER && c->net->ops->can_hold(c->net->transport) &&
            (c->net->opt.send_zc == NET_ZC_ALWAYS || !socket_is_local(c->fd));
    c->deadline_ns = 0;
    channel_set_state(c, CHANNEL_OPEN);
    next_head(c);
}

static void frame_complete(struct channel *c)
{
    uint64_t n = frame_ring_next(&c->rx);
    const struct wire_head *h = frame_ring_head(&c->rx, n);
    const void *aux = frame_ring_aux(&c->rx, n, h->aux_bytes);
    char sentence[WIRE_SENTENCE_MAX];

    c->phase = RECEIVE_NOTHING;
    if (h->type == WIRE_END) {
        channel_set_state(c, CHANNEL_ENDED);
        return;
    }
    if (h->type == WIRE_ERROR) {
        wire_sentence(sentence, sizeof(sentence), aux, h->aux_bytes);
        channel_break(c, ECONNABORTED, false, "%s ended the stream: %s", c->peer, sentence);
        return;
    }
    if (h->type == WIRE_ACTIVATION &&
        wire_check_labels(aux, h->aux_bytes / 4, c->expect.label_classes) < 0) {
        channel_break(c, EPROTO, true, "%s", err_text());
        return;
    }
    frame_ring_publish(&c->rx);
    channel_count(c, COUNT_FRAMES_RECEIVED, 1);
    c->net->dirty = true;
    next_head(c);
}

static void head_complete(struct channel *c)
{
    uint64_t n = frame_ring_next(&c->rx);
    const struct wire_head *h = frame_ring_head(&c->rx, n);
    size_t body;

    if (wire_check(h, &c->expect, n) < 0) {
        channel_break(c, EPROTO, true, "%s", err_text());
        return;
    }
    body = wire_aux_padded(h->aux_bytes) + h->payload_bytes;
    if (!body) {
        frame_complete(c);
        return;
    }
    c->receive.try_first = true;
    channel_begin_receive(c, STREAM_BODY, frame_ring_aux(&c->rx, n, h->aux_bytes), body);
}

static void end_of_file(struct channel *c)
{
    size_t had = c->receive_want - c->receive_left;
    char why[128];

    if (c->end_sent && c->phase == STREAM_HEAD && !had) {
        c->phase = RECEIVE_NOTHING; /* it had nothing more to say */
        channel_set_state(c, CHANNEL_ENDED);
        return;
    }
    if (c->phase == STREAM_BODY || (c->phase == STREAM_HEAD && had))
        snprintf(why, sizeof(why),
                 "closed by the peer after %zu of %zu bytes of the %s of frame %llu", had,
                 c->receive_want, c->phase == STREAM_HEAD ? "head" : "body",
                 (unsigned long long)frame_ring_next(&c->rx));
    else
        snprintf(why, sizeof(why), "closed by the peer without a clean end");
    channel_lost(c, ECONNRESET, why);
}

void channel_receive_done(struct transport_op *op, int res)
{
    struct channel *c = (struct channel *)((char *)op - offsetof(struct channel, receive));

    if (c->dropped)
        return;
    if (c->phase == LAST_WORDS) {
        if (res > 0)
            start_receive(c);
        else
            channel_drop(c, AFTER_NOTHING);
        return;
    }
    channel_count(c, COUNT_RECEIVES, 1);
    if (res == -EINTR || res == -EAGAIN) {
        start_receive(c);
        return;
    }
    if (res < 0) {
        channel_lost(c, -res, strerror(-res));
        return;
    }
    if (res == 0) {
        end_of_file(c);
        return;
    }
    c->moved++;
    channel_count(c, COUNT_BYTES_RECEIVED, (uint64_t)res);
    c->receive_at += res;
    c->receive_left -= (size_t)res;
    if (c->receive_left) {
        channel_count(c, COUNT_SHORT_RECEIVES, 1);
        op->try_first = (size_t)res == op->bytes;
        start_receive(c);
    } else if (c->phase == STREAM_HEAD) {
        head_complete(c);
    } else if (c->phase == STREAM_BODY) {
        frame_complete(c);
    } else {
        greet_received(c);
    }
}

static void start_send(struct channel *c)
{
    size_t max = c->net->opt.transfer_max > 0 ? (size_t)c->net->opt.transfer_max : 1u << 30;

    c->send.fd = c->fd;
    c->send.buf = c->send_at;
    c->send.bytes = c->send_left < max ? c->send_left : max;
    c->send.hold = NULL;
    if (c->zc && c->sending == SEND_FRAME && c->send.bytes >= ZC_MIN_BYTES)
        c->send.hold = &c->hold[c->sent % c->tx.mem.nslot];
    c->net->ops->send(c->net->transport, &c->send);
}

/* What goes out next: a greeting, then frames in order, then END. */
static bool choose_send(struct channel *c)
{
    int state = atomic_load_explicit(&c->state, memory_order_relaxed);

    if (c->greet_out_bytes) {
        c->sending = SEND_GREETING;
        c->send_at = c->greet_out;
        c->send_left = c->greet_out_bytes;
        c->greet_out_bytes = 0;
        return true;
    }
    if (state != CHANNEL_OPEN && state != CHANNEL_ENDED)
        return false;
    if (frame_ring_can_read(&c->tx, c->sent)) {
        c->sending = SEND_FRAME;
        c->send_at = frame_ring_run(&c->tx, c->sent, &c->send_left);
        return true;
    }
    if (c->end_wanted && !c->end_sent) {
        wire_head_init((struct wire_head *)c->greet_out, WIRE_END, 0);
        c->sending = SEND_END;
        c->send_at = c->greet_out;
        c->send_left = sizeof(struct wire_head);
        return true;
    }
    return false;
}

void channel_pump_send(struct channel *c)
{
    if (c->fd < 0 || c->dropped || c->lost_error || c->send.active)
        return;
    if (c->send_left || choose_send(c))
        start_send(c);
}

/* Slots go back in order; a slot that the kernel may still read stays. */
static void free_slots(struct channel *c)
{
    uint64_t freed = atomic_load_explicit(&c->tx.freed, memory_order_relaxed);

    for (; freed < c->sent && !c->hold[freed % c->tx.mem.nslot].pending; freed++) {
        frame_ring_release(&c->tx);
        c->net->dirty = true;
    }
}

void channel_notified(struct transport_op *op, struct transport_hold *hold, bool copied)
{
    struct channel *c = (struct channel *)((char *)op - offsetof(struct channel, send));

    channel_count(c, COUNT_ZC_SENT, 1);
    if (copied) {
        channel_count(c, COUNT_ZC_COPIED, 1);
        if (c->zc && c->net->opt.send_zc != NET_ZC_ALWAYS) {
            c->zc = false;
            log_info("net", "%s: the kernel copies what send_zc sends: plain send from now on",
                     c->peer);
        }
    }
    if (!c->dropped)
        free_slots(c);
}

static void send_complete(struct channel *c)
{
    enum send_kind was = c->sending;

    c->sending = SEND_NOTHING;
    if (was == SEND_FRAME) {
        c->sent++;
        channel_count(c, COUNT_FRAMES_SENT, 1);
        free_slots(c);
    } else if (was == SEND_END) {
        c->end_sent = true;
        c->deadline_ns = net_after(c->net, c->net->opt.drain_ms);
        shutdown(c->fd, SHUT_WR);
    } else if (c->refusing) {
        channel_drop(c, AFTER_NOTHING);
    }
}

/* A send that failed says less than what the peer may have said last: that is read first, if it
 * can be. */
static void send_failed(struct channel *c, int err)
{
    if (c->send.hold && (err == ENOMEM || err == ENOBUFS || err == EOPNOTSUPP || err == EINVAL)) {
        log_info("net", "%s: no send_zc (%s): plain send", c->peer, strerror(err));
        c->zc = false;
        start_send(c);
    } else if (c->receive.active && !c->refusing) {
        c->lost_error = err;
        c->deadline_ns = net_after(c->net, LOST_SEND_MS);
    } else {
        channel_lost(c, err, strerror(err));
    }
}

void channel_send_done(struct transport_op *op, int res)
{
    struct channel *c = (struct channel *)((char *)op - offsetof(struct channel, send));

    if (c->dropped)
        return;
    channel_count(c, COUNT_SENDS, 1);
    if (res < 0 && res != -EINTR && res != -EAGAIN) {
        send_failed(c, -res);
        return;
    }
    if (res > 0) {
        c->moved++;
        channel_count(c, COUNT_BYTES_SENT, (uint64_t)res);
        c->send_at += res;
        c->send_left -= (size_t)res;
    }
    if (c->send_left)
        channel_count(c, COUNT_SHORT_SENDS, 1);
    else
        send_complete(c);
    channel_pump_send(c);
}
