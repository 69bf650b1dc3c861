/*
 * How a channel ends, on the loop's side: with a sentence, by a stall, by a lost connection, or
 * closed. Whatever the cause, the socket is shut down, its operations run out, and only then do
 * socket and lent memory go back.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/loop.h"

enum { LAST_WORDS_MS = 500 };

/* A frame that has begun, either way, must move on. The kernel is asked, since one operation may
 * take a whole frame. */
void channel_check_stall(struct channel *c, uint64_t now)
{
    bool begun = c->phase != LAST_WORDS &&
                 (c->send.active || c->phase == STREAM_BODY || c->phase == GREET_AUX ||
                  (c->phase != RECEIVE_NOTHING && c->receive_left < c->receive_want));
    uint64_t progress;

    if (!begun || c->dropped || c->moved != c->stall_moved || !c->stall_check_ns) {
        c->stall_moved = c->moved;
        c->stall_count = 0;
        c->stall_check_ns =
            begun && !c->dropped ? net_after(c->net, c->net->opt.stall_ms / STALL_PARTS) : 0;
        return;
    }
    if (now < c->stall_check_ns)
        return;
    progress = socket_progress(c->fd);
    c->stall_count = progress == c->stall_progress ? c->stall_count + 1 : 0;
    c->stall_progress = progress;
    c->stall_check_ns = net_after(c->net, c->net->opt.stall_ms / STALL_PARTS);
    if (c->stall_count >= STALL_PARTS)
        channel_lost(c, ETIMEDOUT, "no byte moved in the middle of a frame for too long");
}

/* A short ERROR frame, if the peer is at the border of a frame; as a listener before the answer, a
 * refusal. */
static bool tell_peer(struct channel *c)
{
    int state = atomic_load(&c->state);
    struct {
        struct wire_head head;
        char aux[ANSWER_WIRE_BYTES];
    } out = {0};
    struct answer a = {.verdict = ANSWER_REFUSE};

    if (c->fd < 0 || c->send.active || c->send_left)
        return false;
    if (!c->outgoing && (state == CHANNEL_GREETING || state == CHANNEL_OFFERED)) {
        wire_head_init(&out.head, WIRE_ANSWER, 0);
        out.head.aux_bytes = ANSWER_WIRE_BYTES;
        wire_sentence(a.sentence, sizeof(a.sentence), c->text, sizeof(c->text));
        answer_encode(&a, out.aux);
    } else {
        wire_head_init(&out.head, WIRE_ERROR, 0);
        wire_sentence(out.aux, WIRE_SENTENCE_MAX, c->text, sizeof(c->text));
        out.head.aux_bytes = (uint32_t)strlen(out.aux);
    }
    if (send(c->fd, &out, sizeof(out.head) + wire_aux_padded(out.head.aux_bytes),
             MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        return true;
    log_debug("net", "%s: could not be told why: %s", c->peer, strerror(errno));
    return false;
}

/* Closed with bytes unread, a socket sends a reset, which may overtake the last words. So what
 * still comes is read and thrown away, until the peer has closed too or some time has passed. */
static void leave_words(struct channel *c)
{
    shutdown(c->fd, SHUT_WR);
    c->net->ops->cancel(c->net->transport, &c->watch);
    c->send_left = 0;
    c->stall_check_ns = 0;
    c->deadline_ns = net_after(c->net, LAST_WORDS_MS);
    channel_begin_receive(c, LAST_WORDS, c->greet_in, sizeof(c->greet_in));
}

void channel_break(struct channel *c, int err, bool tell, const char *fmt, ...)
{
    int offered = CHANNEL_OFFERED;
    va_list ap;

    if (c->dropped || c->error)
        return;
    va_start(ap, fmt);
    vsnprintf(c->text, sizeof(c->text), fmt, ap);
    va_end(ap);
    c->error = -err;
    tell = tell && tell_peer(c);
    /* Taken back before the user takes it, or it is the user's to close. */
    if (!c->owned && atomic_load(&c->state) != CHANNEL_GREETING && !c->refusing)
        c->owned = !atomic_compare_exchange_strong(&c->state, &offered, STATE_GONE);
    if (c->owned)
        channel_set_state(c, CHANNEL_FAILED);
    else
        log_info("net", "%s: %s", c->peer, c->text);
    if (tell && !c->receive.active)
        leave_words(c);
    else
        channel_drop(c, AFTER_NOTHING);
}

void channel_lost(struct channel *c, int err, const char *why)
{
    int state = atomic_load(&c->state);

    if (c->outgoing && (state == CHANNEL_CONNECTING || state == CHANNEL_GREETING)) {
        log_debug("net", "%s: connection lost before the answer: %s", c->peer, why);
        channel_drop(c, AFTER_PAUSE);
    } else {
        channel_break(c, err, err == ETIMEDOUT, "connection to %s lost: %s", c->peer, why);
    }
}

/* Ends what runs on the socket. What a send_zc still holds is let go by taking the connection down
 * at once. */
void channel_drop(struct channel *c, enum after_drop after)
{
    static const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    const struct transport_ops *ops = c->net->ops;
    bool holds = false;

    if (c->dropped)
        return;
    c->dropped = true;
    c->after = after;
    c->phase = RECEIVE_NOTHING;
    c->sending = SEND_NOTHING;
    c->send_left = c->greet_out_bytes = 0;
    c->lost_error = 0;
    c->deadline_ns = c->stall_check_ns = 0;
    if (c->fd >= 0) {
        for (int i = 0; i < CHANNEL_MAX_SLOTS; i++)
            holds |= c->hold[i].pending > 0;
        shutdown(c->fd, SHUT_RDWR);
        if (holds && connect(c->fd, &nowhere, sizeof(nowhere)) < 0)
            log_debug("net", "%s: %s", c->peer, strerror(errno));
    }
    ops->cancel(c->net->transport, &c->receive);
    ops->cancel(c->net->transport, &c->send);
    ops->cancel(c->net->transport, &c->watch);
}

/* If the user has not yet seen that he may leave it, he frees it: else he would wait for its next
 * life's end. */
static void set_free(struct channel *c)
{
    int left = STATE_LEFT;

    if (!atomic_compare_exchange_strong(&c->state, &left, STATE_CLOSED))
        atomic_store(&c->state, CHANNEL_FREE);
    c->net->dirty = true;
}

/* Once the kernel holds nothing of it any more: the socket is closed and the channel moves on. The
 * loop's last look at it: a free or closed channel may be in other hands at once. */
void channel_settle(struct channel *c)
{
    if (!c->dropped || c->receive.active || c->send.active || c->watch.active)
        return;
    for (int i = 0; i < CHANNEL_MAX_SLOTS; i++)
        if (c->hold[i].pending)
            return;
    if (c->fd >= 0)
        close(c->fd);
    c->net->incoming -= !c->outgoing && c->fd >= 0;
    c->fd = -1;
    c->dropped = false;
    if (c->closing)
        channel_set_state(c, STATE_CLOSED);
    else if (c->after != AFTER_NOTHING)
        connect_dropped(c, c->after);
    else if (!c->owned)
        set_free(c);
}

void channel_try_close(struct channel *c, uint64_t now)
{
    int state = atomic_load(&c->state);

    if (c->dropped || state == STATE_CLOSED || state == STATE_LEFT || state == STATE_ADRIFT)
        return;
    if (c->phase == LAST_WORDS) { /* nothing lent is in use: the loop goes on with it alone */
        c->closing = c->owned = false;
        channel_set_state(c, STATE_LEFT);
        return;
    }
    if (c->fd >= 0 && (state == CHANNEL_ENDED || (state == CHANNEL_OPEN && c->end_wanted)) &&
        !c->lost_error) {
        c->end_wanted = true;
        if (!c->end_sent || (state == CHANNEL_OPEN && now < c->deadline_ns))
            return;
    }
    lookup_drop(c->lookup);
    c->lookup = NULL;
    c->connecting = CONNECT_IDLE;
    channel_drop(c, AFTER_NOTHING);
}

bool ending_all_idle(struct net *n)
{
    for (int i = 0; i < n->nchannel; i++) {
        struct channel *c = &n->channel[i];
        int state = atomic_load(&c->state);
        if (state != CHANNEL_FREE && state != STATE_CLOSED && (c->fd >= 0 || c->dropped))
            return false;
    }
    return true;
}

void ending_drop_all(struct net *n)
{
    for (int i = 0; i < n->nchannel; i++) {
        struct channel *c = &n->channel[i];
        int state = atomic_load(&c->state);
        if (state == CHANNEL_FREE || state == STATE_CLOSED)
            continue;
        lookup_drop(c->lookup);
        c->lookup = NULL;
        c->connecting = CONNECT_IDLE;
        c->closing = true;
        atomic_store(&c->commands, 0);
        if (state == STATE_RESERVED)
            atomic_store(&c->state, STATE_GONE); /* its command has not been obeyed */
        channel_drop(c, AFTER_NOTHING);
    }
}
