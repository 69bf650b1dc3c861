/*
 * What the loop needs of the kernel, in two tables: io_uring (loop_uring.c) and poll
 * (loop_poll.c). An operation is started, and its done() is called from a later turn(), never from
 * the call that started it. turn() is the only place that waits. One thread at a time uses a
 * transport. Internal to net/.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transport_op;

/* A run of bytes that the kernel may still read after its send has completed (send_zc). */
struct transport_hold {
    struct transport_op *op;
    unsigned pending; /* notifications to come */
};

/* Embedded by whoever starts it; zeroed, then fd, done (and notified) set. Not to be moved or
 * freed while active. */
struct transport_op {
    int fd;
    bool active;
    uint8_t kind;
    bool cancelled;
    bool try_first; /* a receive whose data is likely there: tried before waiting for it */
    bool whole; /* io_uring: complete with all bytes (where the kernel can), not with the first */
    struct transport_hold *hold; /* sends: use send_zc and count here; NULL: plain send */
    void *buf;
    size_t bytes;
    short events;
    int index;
    int res; /* uring: of one that was done at once */
    void (*done)(struct transport_op *op,
                 int res); /* bytes, poll events, or -errno; active is false again */
    void (*notified)(struct transport_op *op, struct transport_hold *hold, bool copied);
};

struct transport_setup {
    bool own_thread; /* all calls come from the thread that opens it */
    bool old_kernel; /* use nothing that Linux 5.10 lacks */
};

struct transport; /* begins with struct transport_stats */

struct transport_stats {
    uint64_t calls; /* system calls so far */
};

struct transport_ops {
    const char *name;
    /* -errno and a sentence with cause and remedy. *said: what was chosen, for the log. */
    int (*open)(struct transport **t, const struct transport_setup *setup, char *said,
                size_t said_bytes);
    void (*close)(struct transport *t);
    void (*receive)(struct transport *t,
                    struct transport_op *op);                    /* into op->buf, up to op->bytes */
    void (*send)(struct transport *t, struct transport_op *op);  /* from op->buf, up to op->bytes */
    void (*watch)(struct transport *t, struct transport_op *op); /* until one of op->events, once */
    void (*cancel)(struct transport *t,
                   struct transport_op *op); /* done comes soon: -ECANCELED or what it still did */
    bool (*can_hold)(const struct transport *t); /* is there send_zc? */
    /* Starts what was asked for, waits until something is done or timeout_ns (-1: for ever, 0: not
     * at all) has passed, calls done(). -errno and a sentence if the transport itself broke. */
    int (*turn)(struct transport *t, int64_t timeout_ns);
};

extern const struct transport_ops transport_uring, transport_poll;

#endif
