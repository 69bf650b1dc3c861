/*
 * The transport of choice: io_uring. What the kernel offers is probed when it is opened;
 * everything works, with more system calls, from Linux 5.10 on. Compiled only where liburing's
 * header is there.
 */
#include "net/transport.h"

#if defined(__has_include) && !defined(HAVE_LIBURING)
#if __has_include(<liburing.h>)
#define HAVE_LIBURING 1
#endif
#endif

#if HAVE_LIBURING

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/err.h"

/* Newer than some liburings that have everything else. */
#ifndef IORING_SEND_ZC_REPORT_USAGE
#define IORING_SEND_ZC_REPORT_USAGE (1U << 3)
#endif
#ifndef IORING_NOTIF_USAGE_ZC_COPIED
#define IORING_NOTIF_USAGE_ZC_COPIED (1U << 31)
#endif

enum {
    ENTRIES = 128,
    CQE_BATCH = 32,
    DIRECT_MAX = 256 << 10, /* shorter runs are tried at once: measured, see SPEED.md */
};

struct transport {
    struct transport_stats stats;
    struct io_uring ring;
    bool defer;      /* IORING_SETUP_DEFER_TASKRUN: completions appear only when asked for */
    bool poll_first; /* a head that is waited for is not there yet: no first attempt */
    struct transport_op *finished[ENTRIES]; /* done at once, to be told in the next turn */
    unsigned nfinished;
    bool zc; /* send_zc that reports whether the kernel copied */
};

/* A completion's user_data: an op's address, or a hold's address | HOLD_BIT; these two are
 * nobody's. */
enum { HOLD_BIT = 1, NOBODY = 0 };

static long read_number(const char *path, const char *key)
{
    char line[256];
    long v = -1;
    FILE *f = fopen(path, "r");

    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, key, strlen(key)) == 0) {
            v = strtol(line + strlen(key), NULL, 10);
            break;
        }
    if (f)
        fclose(f);
    return v;
}

/* Why the kernel said no, and what to do about it. */
static int setup_error(int err)
{
    long disabled = read_number("/proc/sys/kernel/io_uring_disabled", "");
    struct rlimit memlock = {0, 0};

    if (disabled == 2 || (disabled == 1 && geteuid() != 0))
        return err_set(err,
                       "io_uring is refused (%s): kernel.io_uring_disabled is %ld: sysctl "
                       "kernel.io_uring_disabled=0 allows it",
                       strerror(err), disabled);
    if (read_number("/proc/self/status", "Seccomp:") > 0 &&
        (err == EPERM || err == ENOSYS || err == EACCES))
        return err_set(
            err,
            "io_uring is refused (%s) by this container's seccomp filter: run it with "
            "--security-opt seccomp=PROFILE that allows io_uring_setup, _enter and _register",
            strerror(err));
    if (err == ENOMEM) {
        getrlimit(RLIMIT_MEMLOCK, &memlock);
        return err_set(err,
                       "io_uring is refused (%s): the limit of locked memory is %llu KiB: raise it "
                       "(ulimit -l, --ulimit memlock=-1)",
                       strerror(err), (unsigned long long)memlock.rlim_cur / 1024);
    }
    if (err == ENOSYS)
        return err_set(
            err, "io_uring is not in this kernel (%s): use one with CONFIG_IO_URING, 5.10 or later",
            strerror(err));
    return err_set(err, "io_uring is refused: %s", strerror(err));
}

/* From the newest setup to the oldest. Another thread than the opener's may submit, unless the
 * loop has its own. */
static int setup_ring(struct transport *t, const struct transport_setup *setup,
                      const char **flags_text)
{
    const struct {
        unsigned flags;
        const char *text;
        bool own_thread;
    } tries[] = {
        {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, "SINGLE_ISSUER, DEFER_TASKRUN",
         true},
        {IORING_SETUP_COOP_TASKRUN, "COOP_TASKRUN", false},
        {0, "no flags", false},
    };
    int r = -EINVAL;

    for (size_t i = setup->old_kernel ? 2 : 0; i < sizeof(tries) / sizeof(tries[0]) && r == -EINVAL;
         i++) {
        struct io_uring_params p = {.flags = tries[i].flags};
        if (tries[i].own_thread && !setup->own_thread)
            continue;
        r = io_uring_queue_init_params(ENTRIES, &t->ring, &p);
        t->defer = tries[i].flags & IORING_SETUP_DEFER_TASKRUN;
        t->poll_first = tries[i].flags != 0; /* all of 5.19 */
        *flags_text = tries[i].text;
    }
    if (r == 0 && setup->old_kernel)
        t->ring.features &= ~(unsigned)IORING_FEAT_EXT_ARG;
    return r;
}

/* False if an operation that this file uses is missing; sets t->zc. */
static bool probe_ops(struct transport *t, bool old_kernel)
{
    static const int needed[] = {IORING_OP_SEND, IORING_OP_RECV, IORING_OP_POLL_ADD,
                                 IORING_OP_ASYNC_CANCEL};
    struct io_uring_probe *p = io_uring_get_probe_ring(&t->ring);
    bool all = p != NULL;
    struct utsname u;
    int major = 0, minor = 0;

    for (size_t i = 0; all && i < sizeof(needed) / sizeof(needed[0]); i++)
        all = io_uring_opcode_supported(p, needed[i]);
    /* send_zc reports copies, without which one cannot know that it only costs, since 6.2. */
    if (uname(&u) == 0)
        sscanf(u.release, "%d.%d", &major, &minor);
    t->zc = all && !old_kernel && io_uring_opcode_supported(p, IORING_OP_SEND_ZC) &&
            (major > 6 || (major == 6 && minor >= 2));
    io_uring_free_probe(p);
    return all;
}

static int uring_open(struct transport **out, const struct transport_setup *setup, char *said,
                      size_t said_bytes)
{
    struct transport *t = calloc(1, sizeof(*t));
    const char *flags_text = "";
    int r;

    if (!t)
        return err_set(ENOMEM, "no memory for the io_uring transport");
    r = setup_ring(t, setup, &flags_text);
    if (r < 0) {
        free(t);
        return setup_error(-r);
    }
    if (!probe_ops(t, setup->old_kernel) || !(t->ring.features & IORING_FEAT_FAST_POLL)) {
        io_uring_queue_exit(&t->ring);
        free(t);
        return err_set(ENOSYS,
                       "this kernel's io_uring is too old for sockets: it takes 5.7, better 5.10");
    }
    snprintf(said, said_bytes, "io_uring (%s%s)", flags_text, t->zc ? ", send_zc" : "");
    *out = t;
    return 0;
}

static void uring_close(struct transport *t)
{
    io_uring_queue_exit(&t->ring);
    free(t);
}

static struct io_uring_sqe *take_sqe(struct transport *t)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&t->ring);

    if (!sqe) {
        io_uring_submit(&t->ring);
        sqe = io_uring_get_sqe(&t->ring);
        CHECK(sqe);
    }
    return sqe;
}

static void mark_started(struct transport_op *op)
{
    CHECK(!op->active);
    op->active = true;
}

/* A short run whose data or room is there takes one plain system call, which costs less than a
 * ring's entry, task work and completion. False: it must wait, so it goes through the ring. */
static bool done_at_once(struct transport *t, struct transport_op *op, bool sends)
{
    ssize_t n;

    if (op->bytes > DIRECT_MAX || t->nfinished == ENTRIES)
        return false;
    t->stats.calls++;
    n = sends ? send(op->fd, op->buf, op->bytes, MSG_DONTWAIT | MSG_NOSIGNAL)
              : recv(op->fd, op->buf, op->bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return false;
    op->res = n < 0 ? -errno : (int)n;
    t->finished[t->nfinished++] = op;
    return true;
}

static bool tell_finished(struct transport *t)
{
    struct transport_op *op[ENTRIES];
    unsigned n = t->nfinished;

    memcpy(op, t->finished, n * sizeof(op[0]));
    t->nfinished = 0;
    for (unsigned i = 0; i < n; i++) {
        op[i]->active = false;
        op[i]->done(op[i], op[i]->res);
    }
    return n > 0;
}

/* MSG_WAITALL is honoured from 5.18 (receive) and 5.19 (send); older kernels give short ones, and
 * the channel goes on. */
static void uring_receive(struct transport *t, struct transport_op *op)
{
    struct io_uring_sqe *sqe;

    mark_started(op);
    if (op->try_first && done_at_once(t, op, false))
        return;
    sqe = take_sqe(t);
    io_uring_prep_recv(sqe, op->fd, op->buf, op->bytes, op->whole ? MSG_WAITALL : 0);
    if (t->poll_first && !op->whole)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    io_uring_sqe_set_data(sqe, op);
}

static void uring_send(struct transport *t, struct transport_op *op)
{
    struct io_uring_sqe *sqe;

    mark_started(op);
    if (!op->hold && done_at_once(t, op, true))
        return;
    sqe = take_sqe(t);
    if (op->hold) {
        op->hold->op = op;
        io_uring_prep_send_zc(sqe, op->fd, op->buf, op->bytes, MSG_WAITALL | MSG_NOSIGNAL,
                              IORING_SEND_ZC_REPORT_USAGE);
        io_uring_sqe_set_data64(sqe, (uintptr_t)op->hold | HOLD_BIT);
    } else {
        io_uring_prep_send(sqe, op->fd, op->buf, op->bytes, MSG_WAITALL | MSG_NOSIGNAL);
        io_uring_sqe_set_data(sqe, op);
    }
}

static void uring_watch(struct transport *t, struct transport_op *op)
{
    struct io_uring_sqe *sqe = take_sqe(t);

    mark_started(op);
    io_uring_prep_poll_add(sqe, op->fd, (unsigned)op->events);
    io_uring_sqe_set_data(sqe, op);
}

static void uring_cancel(struct transport *t, struct transport_op *op)
{
    struct io_uring_sqe *sqe;
    uint64_t whom = op->hold ? (uintptr_t)op->hold | HOLD_BIT : (uintptr_t)op;

    if (!op->active)
        return;
    sqe = take_sqe(t);
    io_uring_prep_cancel64(sqe, whom, 0);
    io_uring_sqe_set_data64(sqe, NOBODY);
}

static bool uring_can_hold(const struct transport *t)
{
    return t->zc;
}

static void deliver(uint64_t user_data, int res, unsigned flags)
{
    struct transport_hold *hold = NULL;
    struct transport_op *op;

    if (user_data == NOBODY || user_data == LIBURING_UDATA_TIMEOUT)
        return;
    if (user_data & HOLD_BIT)
        hold = (struct transport_hold *)(uintptr_t)(user_data & ~(uint64_t)HOLD_BIT);
    op = hold ? hold->op : (struct transport_op *)(uintptr_t)user_data;
    if (flags & IORING_CQE_F_NOTIF) {
        CHECK(hold && hold->pending > 0);
        hold->pending--;
        op->notified(op, hold, (unsigned)res & IORING_NOTIF_USAGE_ZC_COPIED);
        return;
    }
    if (hold && (flags & IORING_CQE_F_MORE))
        hold->pending++;
    op->active = false;
    op->done(op, res);
}

static int enter(struct transport *t, int64_t timeout_ns)
{
    struct __kernel_timespec ts = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    struct io_uring_cqe *cqe;

    if (io_uring_cq_ready(&t->ring))
        timeout_ns = 0;
    if (timeout_ns || t->defer || io_uring_sq_ready(&t->ring))
        t->stats.calls++;
    if (timeout_ns == 0)
        return t->defer ? io_uring_submit_and_get_events(&t->ring) : io_uring_submit(&t->ring);
    if (timeout_ns < 0)
        return io_uring_submit_and_wait(&t->ring, 1);
    return io_uring_submit_and_wait_timeout(&t->ring, &cqe, 1, &ts, NULL);
}

static int uring_turn(struct transport *t, int64_t timeout_ns)
{
    struct io_uring_cqe *cqe[CQE_BATCH];
    unsigned n;
    int r;

    if (tell_finished(t))
        return 0;
    r = enter(t, timeout_ns);

    if (r < 0 && r != -ETIME && r != -EINTR && r != -EAGAIN && r != -EBUSY)
        return err_set(-r, "io_uring_enter: %s", strerror(-r));
    /* Copied before they are handed on: done() may submit, and the kernel may then write where
     * they stood. */
    while ((n = io_uring_peek_batch_cqe(&t->ring, cqe, CQE_BATCH)) > 0) {
        struct io_uring_cqe copy[CQE_BATCH];
        for (unsigned i = 0; i < n; i++)
            copy[i] = *cqe[i];
        io_uring_cq_advance(&t->ring, n);
        for (unsigned i = 0; i < n; i++)
            deliver(copy[i].user_data, copy[i].res, copy[i].flags);
    }
    return 0;
}

const struct transport_ops transport_uring = {
    .name = "uring",
    .open = uring_open,
    .close = uring_close,
    .receive = uring_receive,
    .send = uring_send,
    .watch = uring_watch,
    .cancel = uring_cancel,
    .can_hold = uring_can_hold,
    .turn = uring_turn,
};

#else

#include <errno.h>

#include "base/err.h"

static int no_uring(struct transport **t, const struct transport_setup *setup, char *said,
                    size_t said_bytes)
{
    return err_set(ENOSYS, "this build has no io_uring: install liburing's header and build again");
}

const struct transport_ops transport_uring = {.name = "uring", .open = no_uring};

#endif
