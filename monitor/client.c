/*
 * The thread that tells the monitor. The counters have one writer, the run; what was sent is the
 * thread's own. A monitor that comes late, or again, is told the sum: every event carries the
 * prefix, so it can take up a run in its middle.
 */
#include "monitor/client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "monitor/address.h"
#include "monitor/event.h"

enum { TICK_MS = 100, ABSENT_TICKS = 10, ANSWER_MS = 300 };

struct counts {
    uint64_t samples, tasks;
};

struct monitor_client {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool closing; /* under lock */

    _Atomic uint64_t samples, tasks; /* of the whole life */
    _Atomic double loss;
    _Atomic bool heard; /* a monitor has answered */

    /* the thread's own */
    struct sockaddr_un address;
    double gap_seconds;
    struct event event; /* its id and prefix stay */
    bool started;       /* the monitor was told of this benchmark */
    struct counts sent, seen;
    uint64_t seen_ns; /* when something new was seen last */
    bool told;        /* the loss of the monitor was logged */
    int absent;       /* ticks to wait before the next attempt */
};

static void new_id(char id[EVENT_ID_BYTES])
{
    unsigned char b[16] = {0};
    if (getrandom(b, sizeof(b), GRND_NONBLOCK) != (ssize_t)sizeof(b)) {
        uint64_t seed[2] = {clock_now_ns(), (uint64_t)getpid()}; /* no randomness this early */
        memcpy(b, seed, sizeof(b));
    }
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    size_t n = 0;
    for (int i = 0; i < 16; i++)
        n += (size_t)snprintf(id + n, EVENT_ID_BYTES - n, "%s%02x",
                              i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
}

static int answered(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char answer[3];
    if (poll(&p, 1, ANSWER_MS) <= 0)
        return -ETIMEDOUT;
    return recv(fd, answer, sizeof(answer), 0) == 3 && !memcmp(answer, "ACK", 3) ? 0 : -EPROTO;
}

/* *sent: the event is in the monitor's hands, whatever becomes of it. */
static int exchange(struct monitor_client *c, bool *sent)
{
    char text[EVENT_MAX_BYTES];
    size_t bytes = event_write(&c->event, text);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *sent = false;
    if (fd < 0)
        return -errno;
    int ret =
        connect(fd, (const struct sockaddr *)&c->address, sizeof(c->address)) < 0 ? -errno : 0;
    if (ret == 0) {
        *sent = send(fd, text, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
        ret = *sent ? 0 : -EPIPE;
    }
    if (ret == 0) {
        shutdown(fd, SHUT_WR);
        ret = answered(fd);
    }
    close(fd);
    return ret;
}

static bool tell(struct monitor_client *c, enum event_kind kind, uint64_t count)
{
    bool sent;
    c->event.kind = kind;
    c->event.count = (uint32_t)count;
    c->event.has_loss = kind == EVENT_BATCH;
    c->event.loss = atomic_load_explicit(&c->loss, memory_order_relaxed);
    int ret = exchange(c, &sent);
    if (ret == 0) {
        c->heard = true;
        return true;
    }
    c->absent = ABSENT_TICKS;
    if (c->heard && !c->told) {
        log_warning("monitor", "The monitor at %s does not answer (%s): the run goes on without it",
                    c->address.sun_path, strerror(-ret));
        c->told = true;
    }
    return sent;
}

/* At most what one event can say. */
static uint64_t part(uint64_t now, uint64_t sent)
{
    return now - sent < 1000000000 ? now - sent : 1000000000;
}

/* What was counted and not told yet. Ends at the first event that has no answer. */
static void tell_counts(struct monitor_client *c, const struct counts *now)
{
    uint64_t n;
    if (!c->started && !(c->started = tell(c, EVENT_START, 0)))
        return;
    if ((n = part(now->samples, c->sent.samples)) && !c->absent && tell(c, EVENT_BATCH, n))
        c->sent.samples += n;
    if ((n = part(now->tasks, c->sent.tasks)) && !c->absent && tell(c, EVENT_TASK, n))
        c->sent.tasks += n;
}

static struct counts counted(struct monitor_client *c)
{
    return (struct counts){atomic_load_explicit(&c->samples, memory_order_relaxed),
                           atomic_load_explicit(&c->tasks, memory_order_relaxed)};
}

/* A worker's benchmark begins with its first task, and anew after a long silence: what the monitor
 * was not told of the one before is dropped. */
static void begin_anew(struct monitor_client *c, uint64_t now_ns)
{
    if (c->seen_ns && 1e-9 * (double)(now_ns - c->seen_ns) < c->gap_seconds)
        return;
    new_id(c->event.id);
    c->started = false;
    c->sent = c->seen;
}

static void tick(struct monitor_client *c)
{
    uint64_t now_ns = clock_now_ns();
    struct counts now = counted(c);
    if (now.samples != c->seen.samples || now.tasks != c->seen.tasks) {
        if (c->gap_seconds > 0)
            begin_anew(c, now_ns);
        c->seen = now;
        c->seen_ns = now_ns;
    } else if (c->gap_seconds > 0 && !c->seen_ns) {
        return;
    }
    if (c->absent)
        c->absent--;
    else
        tell_counts(c, &now);
}

static void *run(void *arg)
{
    struct monitor_client *c = arg;
    pthread_mutex_lock(&c->lock);
    while (!c->closing) {
        pthread_mutex_unlock(&c->lock);
        tick(c);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&c->lock);
        if (!c->closing)
            pthread_cond_timedwait(&c->wake, &c->lock, &until);
    }
    pthread_mutex_unlock(&c->lock);
    c->absent = 0;
    tick(c);
    if (c->started && !c->absent)
        tell(c, EVENT_STOP, 0);
    return NULL;
}

/* The run's signals are for the thread that runs it. */
static int start_thread(struct monitor_client *c)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int ret = pthread_create(&c->thread, NULL, run, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -ret;
}

struct monitor_client *monitor_client_open(const struct monitor_client_options *opt)
{
    struct monitor_client *c = calloc(1, sizeof(*c));
    int ret = c ? monitor_address(&c->address, opt->data_dir)
                : err_set(ENOMEM, "no memory for what tells the monitor");
    if (ret < 0) {
        log_warning("monitor", "No statistics are sent: %s", err_text());
        free(c);
        return NULL;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    c->gap_seconds = opt->gap_seconds;
    event_clean_prefix(c->event.prefix, opt->prefix);
    new_id(c->event.id);
    ret = start_thread(c);
    if (ret < 0) {
        log_warning("monitor", "No statistics are sent: no thread for it (%s)", strerror(-ret));
        pthread_cond_destroy(&c->wake);
        pthread_mutex_destroy(&c->lock);
        free(c);
        return NULL;
    }
    return c;
}

bool monitor_client_close(struct monitor_client *c)
{
    if (!c)
        return false;
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    bool heard = c->heard;
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c);
    return heard;
}

bool monitor_answers(const struct monitor_client *c)
{
    return c && c->heard;
}

void monitor_batch(struct monitor_client *c, int samples, double loss)
{
    if (!c)
        return;
    atomic_store_explicit(&c->loss, loss, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->samples, (uint64_t)samples, memory_order_relaxed);
}

void monitor_task(struct monitor_client *c, int tasks)
{
    if (c)
        atomic_fetch_add_explicit(&c->tasks, (uint64_t)tasks, memory_order_relaxed);
}
