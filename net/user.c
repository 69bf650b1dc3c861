/*
 * The user's side of a net and its channels: asking, lending, looking, waiting. A wait runs the
 * loop itself, or, where the loop has its own thread, sleeps until the loop has something to tell.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "net/loop.h"

/* The loop must look at what this thread has just written. */
static void tell_loop(struct net *n)
{
    if (n->opt.thread)
        wake_post(&n->loop_wake);
}

static int64_t time_left(uint64_t deadline)
{
    uint64_t now;

    if (deadline == UINT64_MAX)
        return -1;
    now = clock_now_ns();
    return deadline > now ? (int64_t)(deadline - now) : 0;
}

static uint64_t deadline_of(int timeout_ms)
{
    return timeout_ms < 0 ? UINT64_MAX : clock_now_ns() + (uint64_t)timeout_ms * 1000000;
}

/* Until something may have changed since the ticket was drawn. False: the time is up. */
static bool wait_once(struct net *n, uint32_t ticket, uint64_t deadline)
{
    int64_t left = time_left(deadline);

    if (left == 0)
        return false;
    if (n->opt.thread)
        wake_wait(&n->user_wake, ticket, left);
    else
        net_turn(n, left);
    return true;
}

void net_stop(struct net *n)
{
    atomic_store(&n->stop, true);
    wake_force(&n->user_wake);
    wake_force(&n->loop_wake);
}

bool net_stopping(const struct net *n)
{
    return atomic_load(&n->stop);
}

void net_resume(struct net *n)
{
    atomic_store(&n->stop, false);
}

const char *net_transport_text(const struct net *n)
{
    return n->ops->name;
}

int net_listen(struct net *n, const char *address, int port)
{
    int fd;

    CHECK(n->listen_fd < 0);
    fd = socket_listen(address, &port, &n->tune);
    if (fd < 0)
        return fd;
    n->port = port;
    atomic_store(&n->listen_fd, fd);
    tell_loop(n);
    return 0;
}

int net_port(const struct net *n)
{
    return n->port;
}

uint64_t net_calls(const struct net *n)
{
    return atomic_load_explicit(&n->calls, memory_order_relaxed);
}

struct channel *net_offered(struct net *n)
{
    for (;;) {
        struct channel *first = NULL;
        int offered = CHANNEL_OFFERED;

        for (int i = 0; i < atomic_load(&n->used); i++) {
            struct channel *c = &n->channel[i];
            if (atomic_load(&c->state) == CHANNEL_OFFERED &&
                (!first || c->offer_number < first->offer_number))
                first = c;
        }
        if (!first || atomic_compare_exchange_strong(&first->state, &offered, STATE_HELD))
            return first;
    }
}

static int broken(struct net *n)
{
    int r = atomic_load(&n->broken);

    return r < 0 ? err_set(-r, "the network loop cannot go on: %s", n->broken_text) : 0;
}

static int stopped(void)
{
    return err_set(EINTR, "stopped");
}

int net_wait(struct net *n, int timeout_ms)
{
    uint64_t deadline = deadline_of(timeout_ms);

    for (;;) {
        uint32_t now = wake_ticket(&n->user_wake);

        if (broken(n) < 0)
            return atomic_load(&n->broken);
        if (net_stopping(n))
            return stopped();
        if (now != n->user_seen) {
            n->user_seen = now;
            return 1;
        }
        if (!wait_once(n, now, deadline))
            return 0;
    }
}

void net_progress(struct net *n)
{
    if (!n->opt.thread)
        net_turn(n, 0);
}

/* Commands that need no waiting: a loop that runs here takes them in its next turn. */
static void command(struct channel *c, unsigned what)
{
    atomic_fetch_or(&c->commands, what);
    tell_loop(c->net);
}

static void lend(struct channel *c, const struct channel_rings *rings)
{
    CHECK(rings->tx.nslot > 0 && rings->tx.nslot <= CHANNEL_MAX_SLOTS && rings->rx.nslot > 0);
    frame_ring_init(&c->tx, &rings->tx);
    frame_ring_init(&c->rx, &rings->rx);
    c->expect = rings->expect;
    c->expect.payload_max = rings->rx.payload_max;
    c->expect.aux_max = (uint32_t)rings->rx.aux_max;
}

int channel_connect(struct channel **out, struct net *n, const char *host, int port,
                    const struct hello *mine, const struct channel_rings *rings)
{
    struct channel *c = net_free_channel(n, true);

    *out = c;
    if (!c)
        return err_set(ENOMEM, "no connection to %s port %d: all %d are in use", host, port,
                       n->nchannel);
    snprintf(c->host, sizeof(c->host), "%s", host);
    snprintf(c->peer, sizeof(c->peer), strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
    c->port = port;
    c->hello = *mine;
    lend(c, rings);
    command(c, COMMAND_CONNECT);
    return 0;
}

/* What stands between the user and what he waits for: 0 nothing; the error of a channel that
 * failed; -EINTR. */
static int trouble(struct channel *c, int state)
{
    if (state == CHANNEL_FAILED)
        return err_set(-c->error, "%s", c->text);
    if (broken(c->net) < 0)
        return atomic_load(&c->net->broken);
    return net_stopping(c->net) ? stopped() : 0;
}

/* look: 1 it is there, 0 not yet, -errno. The state is read first: what came before an end is
 * still seen. */
static int wait_until(struct channel *c, int (*look)(struct channel *c, uint64_t n, int state),
                      uint64_t n, int timeout_ms)
{
    uint64_t deadline = UINT64_MAX;
    bool timed = timeout_ms < 0;

    for (;;) {
        uint32_t ticket = wake_ticket(&c->net->user_wake);
        int state = atomic_load(&c->state);
        int r = look(c, n, state);

        if (r)
            return r < 0 ? r : 0;
        r = trouble(c, state);
        if (r < 0)
            return r;
        if (!timed) {
            deadline = deadline_of(timeout_ms);
            timed = true;
        }
        if (!wait_once(c->net, ticket, deadline))
            return err_set(ETIMEDOUT, "nothing from %s within %d ms", c->peer, timeout_ms);
    }
}

static int look_open(struct channel *c, uint64_t n, int state)
{
    return state == CHANNEL_OPEN || state == CHANNEL_ENDED;
}

static int look_frame(struct channel *c, uint64_t n, int state)
{
    if (frame_ring_can_read(&c->rx, n))
        return 1;
    return state == CHANNEL_ENDED ? err_set(ENODATA, "%s has ended the stream after %llu frames",
                                            c->peer, (unsigned long long)n)
                                  : 0;
}

static int look_slot(struct channel *c, uint64_t n, int state)
{
    if (c->user_ended)
        return err_set(EPIPE, "the stream to %s was ended here", c->peer);
    return state != CHANNEL_FAILED && frame_ring_can_fill(&c->tx);
}

int channel_wait_open(struct channel *c, int timeout_ms)
{
    return wait_until(c, look_open, 0, timeout_ms);
}

int channel_wait_frame(struct channel *c, uint64_t n, int timeout_ms)
{
    return wait_until(c, look_frame, n, timeout_ms);
}

int channel_wait_slot(struct channel *c, int timeout_ms)
{
    return wait_until(c, look_slot, 0, timeout_ms);
}

const struct answer *channel_answer(const struct channel *c)
{
    return &c->answer;
}

const struct hello *channel_hello(const struct channel *c)
{
    return &c->hello;
}

void channel_accept(struct channel *c, const struct answer *mine, const struct channel_rings *rings)
{
    c->answer = *mine;
    c->answer.verdict = ANSWER_ACCEPT;
    lend(c, rings);
    command(c, COMMAND_ACCEPT);
}

void channel_refuse(struct channel *c, enum answer_verdict verdict, const char *sentence)
{
    c->answer = (struct answer){.verdict = verdict};
    wire_sentence(c->answer.sentence, sizeof(c->answer.sentence), sentence, strlen(sentence));
    command(c, COMMAND_REFUSE);
}

const struct wire_head *channel_head(const struct channel *c, uint64_t n)
{
    return frame_ring_head(&c->rx, n);
}

const void *channel_aux(const struct channel *c, uint64_t n)
{
    return frame_ring_aux(&c->rx, n, frame_ring_head(&c->rx, n)->aux_bytes);
}

void *channel_payload(const struct channel *c, uint64_t n)
{
    return frame_ring_payload(&c->rx, n);
}

void channel_release(struct channel *c)
{
    frame_ring_release(&c->rx);
    if (c->net->opt.thread)
        wake_post_if(&c->net->loop_wake, &c->starved);
}

uint64_t channel_tx_next(const struct channel *c)
{
    return frame_ring_next(&c->tx);
}

struct wire_head *channel_tx_head(struct channel *c)
{
    return frame_ring_head(&c->tx, frame_ring_next(&c->tx));
}

void *channel_tx_aux(struct channel *c, uint32_t aux_bytes)
{
    return frame_ring_aux(&c->tx, frame_ring_next(&c->tx), aux_bytes);
}

void *channel_tx_payload(struct channel *c)
{
    return frame_ring_payload(&c->tx, frame_ring_next(&c->tx));
}

void channel_publish(struct channel *c)
{
    frame_ring_publish(&c->tx);
    tell_loop(c->net);
    net_progress(c->net);
}

bool channel_sent(const struct channel *c, uint64_t n)
{
    return n < atomic_load_explicit(&c->tx.freed, memory_order_acquire);
}

void channel_end(struct channel *c)
{
    c->user_ended = true;
    command(c, COMMAND_END);
    net_progress(c->net);
}

void channel_fail(struct channel *c, const char *sentence)
{
    wire_sentence(c->fail_text, sizeof(c->fail_text), sentence, strlen(sentence));
    command(c, COMMAND_FAIL);
    net_progress(c->net);
}

void channel_close(struct channel *c)
{
    if (!c)
        return;
    command(c, COMMAND_CLOSE);
    for (;;) {
        uint32_t ticket = wake_ticket(&c->net->user_wake);
        int left = STATE_LEFT, closed = STATE_CLOSED;

        if (atomic_compare_exchange_strong(&c->state, &left, STATE_ADRIFT))
            return; /* the loop frees it */
        if (atomic_compare_exchange_strong(&c->state, &closed, CHANNEL_FREE))
            break;
        if (atomic_load(&c->net->broken)) /* nobody will; net_close takes the rest down */
            return;
        wait_once(c->net, ticket, UINT64_MAX);
    }
    tell_loop(c->net); /* there is a place again */
}

enum channel_state channel_state(const struct channel *c)
{
    int state = atomic_load(&c->state);

    return state == STATE_HELD           ? CHANNEL_OFFERED
           : state < CHANNEL_STATE_COUNT ? (enum channel_state)state
                                         : CHANNEL_FREE;
}

int channel_error(const struct channel *c)
{
    return atomic_load(&c->state) == CHANNEL_FAILED ? c->error : 0;
}

const char *channel_error_text(const struct channel *c)
{
    return channel_error(c) ? c->text : "";
}

const char *channel_peer(const struct channel *c)
{
    return c->peer;
}

struct channel_counters channel_counters(const struct channel *c)
{
    uint64_t v[COUNT_COUNT];

    for (int i = 0; i < COUNT_COUNT; i++)
        v[i] = atomic_load_explicit(&c->count[i], memory_order_relaxed);
    return (struct channel_counters){
        .frames_sent = v[COUNT_FRAMES_SENT],
        .frames_received = v[COUNT_FRAMES_RECEIVED],
        .bytes_sent = v[COUNT_BYTES_SENT],
        .bytes_received = v[COUNT_BYTES_RECEIVED],
        .sends = v[COUNT_SENDS],
        .receives = v[COUNT_RECEIVES],
        .short_sends = v[COUNT_SHORT_SENDS],
        .short_receives = v[COUNT_SHORT_RECEIVES],
        .zc_sent = v[COUNT_ZC_SENT],
        .zc_copied = v[COUNT_ZC_COPIED],
    };
}
