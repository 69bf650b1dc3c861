/* The transport of kernels and containers that refuse io_uring: poll and nonblocking send and
 * recv. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/err.h"
#include "net/transport.h"

enum kind { RECEIVE, SEND, WATCH };
enum { ATTEMPTS_A_TURN = 64 };

struct transport {
    struct transport_stats stats;
    struct transport_op **op; /* the active ones, in no order */
    struct pollfd *fd;        /* of the same index */
    int nop, room;
};

static int poll_open(struct transport **out, const struct transport_setup *setup, char *said,
                     size_t said_bytes)
{
    struct transport *t = calloc(1, sizeof(*t));

    if (!t)
        return err_set(ENOMEM, "no memory for the poll transport");
    snprintf(said, said_bytes, "poll");
    *out = t;
    return 0;
}

static void poll_close(struct transport *t)
{
    free(t->op);
    free(t->fd);
    free(t);
}

/* Grows while connections arrive, not while frames do: three operations a connection. */
static void start(struct transport *t, struct transport_op *op, enum kind kind)
{
    CHECK(!op->active);
    if (t->nop == t->room) {
        t->room = t->room ? 2 * t->room : 64;
        t->op = realloc(t->op, (size_t)t->room * sizeof(*t->op));
        t->fd = realloc(t->fd, (size_t)t->room * sizeof(*t->fd));
        CHECK(t->op && t->fd);
    }
    op->active = true;
    op->cancelled = false;
    op->kind = kind;
    op->index = t->nop;
    t->op[t->nop] = op;
    t->fd[t->nop++].revents = 0;
}

static void poll_receive(struct transport *t, struct transport_op *op)
{
    op->events = POLLIN;
    start(t, op, RECEIVE);
}

static void poll_send(struct transport *t, struct transport_op *op)
{
    op->events = POLLOUT;
    op->try_first = true;
    start(t, op, SEND);
}

static void poll_watch(struct transport *t, struct transport_op *op)
{
    op->try_first = false;
    start(t, op, WATCH);
}

static void poll_cancel(struct transport *t, struct transport_op *op)
{
    if (op->active)
        op->cancelled = true;
}

static bool poll_can_hold(const struct transport *t)
{
    return false;
}

static void finish(struct transport *t, struct transport_op *op, int res)
{
    int last = --t->nop;

    t->op[op->index] = t->op[last];
    t->fd[op->index] = t->fd[last];
    t->op[op->index]->index = op->index;
    op->active = false;
    op->done(op, res);
}

/* Tries it now. False: the socket is not ready. */
static bool attempt(struct transport *t, struct transport_op *op)
{
    ssize_t n;

    op->try_first = false;
    do {
        t->stats.calls++;
        n = op->kind == SEND ? send(op->fd, op->buf, op->bytes, MSG_DONTWAIT | MSG_NOSIGNAL)
                             : recv(op->fd, op->buf, op->bytes, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    finish(t, op, n < 0 ? -errno : (int)n);
    return true;
}

/* What needs no waiting, up to a bound: timers and other connections want their turn too. True if
 * something was done. */
static bool attempt_all(struct transport *t)
{
    int did = 0;

    for (int i = 0; i < t->nop && did < ATTEMPTS_A_TURN;) {
        struct transport_op *op = t->op[i];
        if (op->cancelled)
            finish(t, op, -ECANCELED);
        else if (!op->try_first || !attempt(t, op)) {
            i++;
            continue;
        }
        did++; /* another one stands at i now */
    }
    return did > 0;
}

static int poll_turn(struct transport *t, int64_t timeout_ns)
{
    struct timespec ts = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    int ready;

    if (attempt_all(t))
        return 0;
    for (int i = 0; i < t->nop; i++)
        t->fd[i] = (struct pollfd){.fd = t->op[i]->fd, .events = t->op[i]->events};
    t->stats.calls++;
    ready = ppoll(t->fd, (nfds_t)t->nop, timeout_ns < 0 ? NULL : &ts, NULL);
    if (ready < 0)
        return errno == EINTR
                   ? 0
                   : err_set(errno, "poll of %d descriptors: %s", t->nop, strerror(errno));
    /* Downwards: finish() moves the last one, which was looked at already, and new ones are added
     * behind it. */
    for (int i = t->nop - 1; i >= 0 && ready > 0; i--) {
        struct transport_op *op = t->op[i];
        short revents = t->fd[i].revents;
        if (!revents || op->cancelled)
            continue;
        ready--;
        if (op->kind == WATCH)
            finish(t, op, revents);
        else
            attempt(t, op);
    }
    attempt_all(t);
    return 0;
}

const struct transport_ops transport_poll = {
    .name = "poll",
    .open = poll_open,
    .close = poll_close,
    .receive = poll_receive,
    .send = poll_send,
    .watch = poll_watch,
    .cancel = poll_cancel,
    .can_hold = poll_can_hold,
    .turn = poll_turn,
};
