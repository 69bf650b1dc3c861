/*
 * The loop: one turn looks at every channel's commands, rings and timers, then waits in the
 * transport, the one place that waits. Who calls it, the user's waits or a thread of its own, is
 * decided when the net is opened.
 */
#include "net/net.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "net/loop.h"

enum { ACCEPT_PAUSE_MS = 200 };

struct net_options net_options_default(void)
{
    struct net_options opt = {
        .transport = NET_AUTO,
        .max_channels = 16,
        .retry_ms = 5000,
        .hello_ms = 5000,
        .stall_ms = 30000,
        .dead_ms = 30000,
        .drain_ms = 5000,
    };
    return opt;
}

static uint64_t loop_time(const struct net *n)
{
    return clock_now_ns() - n->away_ns;
}

uint64_t net_after(const struct net *n, int ms)
{
    return loop_time(n) + (uint64_t)ms * 1000000;
}

static void event_done(struct transport_op *op, int res)
{
    struct net *n = (struct net *)((char *)op - offsetof(struct net, event));
    uint64_t count;

    while (read(n->loop_wake.event_fd, &count, sizeof(count)) > 0)
        continue;
    if (!atomic_load(&n->quit))
        n->ops->watch(n->transport, op);
    n->dirty |= atomic_load(&n->stop);
}

/* While connecting: the attempt has come to something. While offered: the peer has left. */
static void watch_done(struct transport_op *op, int res)
{
    struct channel *c = (struct channel *)((char *)op - offsetof(struct channel, watch));
    int state = atomic_load(&c->state);

    if (c->dropped)
        return;
    if (state == CHANNEL_CONNECTING)
        connect_watched(c);
    else if (state == CHANNEL_OFFERED || state == STATE_HELD)
        channel_break(c, ECONNRESET, false, "%s left before it was answered", c->peer);
}

/* The loop looks at the first `used` channels only: the lowest free one is taken. Outgoing ones
 * have places of their own. */
struct channel *net_free_channel(struct net *n, bool outgoing)
{
    for (int i = 0; i < n->nchannel; i++) {
        struct channel *c = &n->channel[i];
        int state = CHANNEL_FREE, used = atomic_load(&n->used);
        if (!atomic_compare_exchange_strong(&c->state, &state, STATE_RESERVED))
            continue;
        while (used <= i && !atomic_compare_exchange_weak(&n->used, &used, i + 1))
            continue;
        channel_prepare(c, outgoing);
        c->watch = (struct transport_op){.done = watch_done};
        return c;
    }
    return NULL;
}

/* The greeting's buffers are the channel's own: a stranger costs nothing but a place. */
static void accept_one(struct net *n, struct channel *c)
{
    struct socket_address a = {.bytes = sizeof(a.addr)};
    int fd =
        accept4(n->listen.fd, (struct sockaddr *)&a.addr, &a.bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
            log_warning("net", "cannot accept a connection: %s", strerror(errno));
            n->accept_again_ns = net_after(n, ACCEPT_PAUSE_MS);
        }
        atomic_store(&c->state, CHANNEL_FREE);
        return;
    }
    n->incoming++;
    socket_tune(fd, &n->tune, true);
    c->fd = fd;
    socket_text(c->peer, &a);
    c->deadline_ns = net_after(n, n->opt.hello_ms);
    channel_set_state(c, CHANNEL_GREETING);
    channel_begin_receive(c, GREET_HEAD, c->greet_in, sizeof(struct wire_head));
}

static void listen_done(struct transport_op *op, int res)
{
    struct net *n = (struct net *)((char *)op - offsetof(struct net, listen));
    struct channel *c = res < 0 ? NULL : net_free_channel(n, false);

    if (c)
        accept_one(n, c);
}

/* Listens while there is a free place; who connects meanwhile waits in the backlog. */
static void pump_listen(struct net *n, uint64_t now)
{
    int fd = atomic_load(&n->listen_fd);

    if (fd < 0 || n->listen.active || now < n->accept_again_ns || atomic_load(&n->quit))
        return;
    if (n->incoming >= n->opt.max_channels)
        return;
    n->listen.fd = fd;
    n->listen.events = POLLIN;
    n->ops->watch(n->transport, &n->listen);
}

static void obey(struct channel *c, unsigned commands)
{
    if (commands & COMMAND_CONNECT)
        connect_start(c);
    if (commands & COMMAND_ACCEPT && !c->dropped && !c->error) {
        c->owned = true;
        greet_send_answer(c, &c->answer);
        channel_begin_stream(c);
    }
    if (commands & COMMAND_REFUSE) {
        c->owned = false;
        c->refusing = true;
        if (c->error) { /* it left meanwhile */
            channel_drop(c, AFTER_NOTHING);
        } else {
            greet_send_answer(c, &c->answer);
            c->deadline_ns = net_after(c->net, c->net->opt.hello_ms);
        }
    }
    if (commands & COMMAND_END)
        c->end_wanted = true;
    if (commands & COMMAND_FAIL)
        channel_break(c, ECANCELED, true, "%s", c->fail_text);
    if (commands & COMMAND_CLOSE)
        c->closing = true;
}

static void check_deadline(struct channel *c, uint64_t now)
{
    if (!c->deadline_ns || now < c->deadline_ns || c->dropped)
        return;
    if (c->lost_error)
        channel_lost(c, c->lost_error, strerror(c->lost_error));
    else if (c->refusing || c->phase == LAST_WORDS)
        channel_drop(c, AFTER_NOTHING);
    else if (!c->outgoing && atomic_load(&c->state) == CHANNEL_GREETING)
        channel_break(c, ETIMEDOUT, true, "no hello within %g seconds",
                      c->net->opt.hello_ms / 1000.0);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return b && b < a ? b : a;
}

/* All that one channel can do now. Returns when it wants another look, whatever happens. */
static uint64_t pump(struct channel *c, uint64_t now)
{
    int state = atomic_load(&c->state);
    unsigned commands = atomic_load_explicit(&c->commands, memory_order_acquire);
    uint64_t next;

    if (state == CHANNEL_FREE || state == STATE_CLOSED || (state == STATE_RESERVED && !commands))
        return UINT64_MAX;
    if (commands)
        obey(c, atomic_exchange(&c->commands, 0));
    if (state == CHANNEL_CONNECTING)
        connect_step(c, now);
    check_deadline(c, now);
    if (c->closing)
        channel_try_close(c, now);
    channel_pump_send(c);
    channel_pump_receive(c);
    channel_check_stall(c, now);
    next = sooner(sooner(UINT64_MAX, c->deadline_ns), c->stall_check_ns);
    if (c->dropped) {
        channel_settle(c);    /* and not touched after it */
        return now + 1000000; /* whatever it has become wants another look */
    }
    return next;
}

static int64_t pump_all(struct net *n)
{
    uint64_t now = loop_time(n), next = UINT64_MAX;

    if (!n->event.active && !atomic_load(&n->quit))
        n->ops->watch(n->transport, &n->event);
    for (int i = 0; i < atomic_load(&n->used); i++) {
        uint64_t when = pump(&n->channel[i], now);
        next = when < next ? when : next;
    }
    pump_listen(n, now);
    next = n->accept_again_ns > now ? sooner(next, n->accept_again_ns) : next;
    if (next == UINT64_MAX)
        return -1;
    return next > now ? (int64_t)(next - now) : 0;
}

static void turn(struct net *n, int64_t timeout_ns)
{
    uint32_t ticket = wake_ticket(&n->loop_wake);
    int64_t next;
    bool sleeping;
    int r;

    if (n->left_ns)
        n->away_ns += clock_now_ns() - n->left_ns;
    next = pump_all(n);
    sleeping = n->opt.thread && wake_sleeping(&n->loop_wake, ticket);
    if (n->dirty || (n->opt.thread && !sleeping))
        timeout_ns = 0;
    else if (next >= 0 && (timeout_ns < 0 || next < timeout_ns))
        timeout_ns = next;
    r = n->ops->turn(n->transport, timeout_ns);
    atomic_store_explicit(&n->calls, ((struct transport_stats *)n->transport)->calls,
                          memory_order_relaxed);
    if (sleeping)
        wake_awake(&n->loop_wake);
    if (r < 0) {
        snprintf(n->broken_text, sizeof(n->broken_text), "%s", err_text());
        atomic_store(&n->broken, r);
        n->dirty = true;
    }
    n->left_ns = clock_now_ns();
}

void net_turn(struct net *n, int64_t timeout_ns)
{
    n->dirty = false;
    turn(n, timeout_ns);
    if (n->dirty)
        wake_post(&n->user_wake);
}

/* The kernel lets go of everything; only then is the memory anybody else's. Again and again: a
 * connection may have been accepted just before the listening ended. */
static void wind_up(struct net *n)
{
    atomic_store(&n->quit, true);
    n->ops->cancel(n->transport, &n->event);
    n->ops->cancel(n->transport, &n->listen);
    ending_drop_all(n);
    while (!n->broken && (n->event.active || n->listen.active || !ending_all_idle(n))) {
        turn(n, 100000000);
        ending_drop_all(n);
    }
}

static int open_transport(struct net *n)
{
    struct transport_setup setup = {.own_thread = n->opt.thread, .old_kernel = n->opt.old_kernel};
    char said[128];
    int r = 0;

    if (n->opt.transport != NET_POLL) {
        n->ops = &transport_uring;
        r = n->ops->open(&n->transport, &setup, said, sizeof(said));
        if (r < 0 && n->opt.transport == NET_URING)
            return r;
    }
    if (r < 0)
        log_info("net", "transport poll: %s", err_text());
    if (n->opt.transport == NET_POLL || r < 0) {
        n->ops = &transport_poll;
        r = n->ops->open(&n->transport, &setup, said, sizeof(said));
        if (r < 0)
            return r;
    }
    log_info("net", "transport %s: %s, %s", n->ops->name, said,
             n->opt.thread ? "in a thread of its own" : "in the thread that waits");
    return 0;
}

static void *loop_thread(void *arg)
{
    struct net *n = arg;
    int r = open_transport(n);

    if (r < 0)
        snprintf(n->broken_text, sizeof(n->broken_text), "%s", err_text());
    atomic_store(&n->started, r < 0 ? r : 1);
    wake_post(&n->user_wake);
    if (r < 0)
        return NULL;
    while (!atomic_load(&n->quit) && !atomic_load(&n->broken))
        net_turn(n, -1);
    wind_up(n);
    n->ops->close(n->transport);
    return NULL;
}

static int start_thread(struct net *n)
{
    pthread_t thread;
    uint32_t ticket;
    int r = pthread_create(&thread, NULL, loop_thread, n);

    if (r)
        return err_set(r, "no thread for the network loop: %s", strerror(r));
    n->thread = thread;
    for (;;) {
        ticket = wake_ticket(&n->user_wake);
        r = atomic_load(&n->started);
        if (r)
            break;
        wake_wait(&n->user_wake, ticket, -1);
    }
    if (r < 0) {
        pthread_join(thread, NULL);
        return err_set(-r, "%s", n->broken_text);
    }
    return 0;
}

int net_open(struct net **out, const struct net_options *opt)
{
    struct net *n;
    int r;

    *out = NULL;
    n = aligned_alloc(64, (sizeof(*n) + 63) / 64 * 64);
    if (!n)
        return err_set(ENOMEM, "no memory for the network loop");
    memset(n, 0, sizeof(*n));
    n->opt = *opt;
    n->tune = (struct socket_tuning){.dead_ms = opt->dead_ms, .socket_buffer = opt->socket_buffer};
    n->nchannel = opt->max_channels + NET_SPARE_CHANNELS;
    n->channel = aligned_alloc(64, (size_t)n->nchannel * sizeof(*n->channel));
    atomic_store(&n->listen_fd, -1);
    wake_init(&n->user_wake);
    n->loop_wake.event_fd = -1;
    r = n->channel ? wake_init_event(&n->loop_wake) : -ENOMEM;
    if (r < 0) {
        free(n->channel);
        free(n);
        return err_set(-r, "no memory or descriptor for %d connections: %s", opt->max_channels,
                       strerror(-r));
    }
    memset(n->channel, 0, (size_t)n->nchannel * sizeof(*n->channel));
    for (int i = 0; i < n->nchannel; i++) {
        n->channel[i].net = n;
        n->channel[i].fd = -1;
    }
    n->event =
        (struct transport_op){.done = event_done, .fd = n->loop_wake.event_fd, .events = POLLIN};
    n->listen = (struct transport_op){.done = listen_done, .fd = -1};
    r = opt->thread ? start_thread(n) : open_transport(n);
    if (r < 0) {
        wake_fini(&n->loop_wake);
        free(n->channel);
        free(n);
        return r;
    }
    *out = n;
    return 0;
}

void net_close(struct net *n)
{
    if (!n)
        return;
    if (n->opt.thread) {
        atomic_store(&n->quit, true);
        wake_force(&n->loop_wake);
        pthread_join(n->thread, NULL);
    } else {
        wind_up(n);
        n->ops->close(n->transport);
    }
    for (int i = 0; i < n->nchannel; i++)
        if (n->channel[i].fd >= 0)
            close(n->channel[i].fd);
    if (n->listen_fd >= 0)
        close(n->listen_fd);
    wake_fini(&n->user_wake);
    wake_fini(&n->loop_wake);
    free(n->channel);
    free(n);
}
