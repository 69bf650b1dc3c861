/*
 * The thread that tells the monitor. The counters have one writer, the run; what was sent is the
 * thread's own. A monitor that comes late, or again, is told the sum: every event carries the
 * prefix, so it can take up a run in its middle.
 */
#include "monitor/client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "monitor/address.h"
#include "monitor/event.h"

enum { TICK_MS = 100, ABSENT_TICKS = 10, ANSWER_MS = 5000, CLOSING_MS = 500 };

struct counts {
    uint64_t samples, tasks, task_samples, part_ns[EVENT_PART_COUNT];
};

struct monitor_client {
    pthread_t thread;
    int wake;                    /* readable: there is something to do now */
    sem_t begun;                 /* a benchmark that was asked for is told of, or cannot be */
    _Atomic uint64_t closing_ns; /* since then; 0: not yet */

    _Atomic uint64_t samples, tasks, task_samples,
        part_ns[EVENT_PART_COUNT]; /* of the whole life */
    _Atomic double loss;
    _Atomic bool heard; /* a monitor has answered */

    pthread_mutex_t lock; /* of the next four */
    bool asked, renamed;
    char next_prefix[EVENT_PREFIX_BYTES];
    struct counts renamed_at;

    /* the thread's own */
    struct sockaddr_un address;
    double gap_seconds;
    struct event event; /* its id, prefix and about stay */
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

/* How long an answer may take from now on: a run that ends is not held up. */
static int patience_ms(const struct monitor_client *c)
{
    uint64_t closing = c->closing_ns, now = clock_now_ns();
    if (!closing)
        return ANSWER_MS;
    int64_t left = (int64_t)(closing + CLOSING_MS * UINT64_C(1000000) - now) / 1000000;
    return left > 0 ? (int)left : 0;
}

static void drain(int fd)
{
    uint64_t n;
    if (read(fd, &n, sizeof(n)) < 0)
        return; /* nothing was there */
}

static int answered(const struct monitor_client *c, int fd)
{
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = c->wake, .events = POLLIN}};
    char answer[3];
    for (;;) {
        bool closing = c->closing_ns;
        p[0].revents = 0;
        if (poll(p, closing ? 1 : 2, patience_ms(c)) <= 0)
            return -ETIMEDOUT;
        if (p[0].revents)
            break;
        drain(c->wake);
    }
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
        ret = answered(c, fd);
    }
    close(fd);
    return ret;
}

/* c->event holds what was processed. True where it is in the monitor's hands. */
static bool tell(struct monitor_client *c, enum event_kind kind)
{
    bool sent;
    c->event.kind = kind;
    int ret = exchange(c, &sent);
    if (ret == 0) {
        c->heard = true;
        return true;
    }
    if (sent && c->closing_ns) /* in its queue, in order: no reason not to say the rest */
        return true;
    c->absent = ABSENT_TICKS;
    if (c->heard && !c->told) {
        log_warning("monitor", "The monitor at %s does not answer (%s): the run goes on without it",
                    c->address.sun_path, strerror(-ret));
        c->told = true;
    }
    return sent;
}

/* At most what one event can say. */
static uint32_t part(uint64_t now, uint64_t sent)
{
    return now - sent < 1000000000 ? (uint32_t)(now - sent) : 1000000000;
}

/* The parts go with the first event that is sent. */
static bool tell_work(struct monitor_client *c, enum event_kind kind, const struct counts *now)
{
    struct event *e = &c->event;
    e->loss = atomic_load_explicit(&c->loss, memory_order_relaxed);
    e->has_loss = true;
    e->has_parts = false;
    for (int i = 0; i < EVENT_PART_COUNT; i++) {
        e->part_seconds[i] = 1e-9 * (double)(now->part_ns[i] - c->sent.part_ns[i]);
        e->has_parts |= e->part_seconds[i] > 0;
    }
    if (!tell(c, kind))
        return false;
    memcpy(c->sent.part_ns, now->part_ns, sizeof(now->part_ns));
    return true;
}

/* What was counted and not told yet. Ends at the first event that has no answer. */
static void tell_counts(struct monitor_client *c, const struct counts *now)
{
    struct event *e = &c->event;
    if (!c->started && !(c->started = tell(c, EVENT_START)))
        return;
    e->count = part(now->samples, c->sent.samples);
    e->samples = 0;
    if (e->count && !c->absent && tell_work(c, EVENT_BATCH, now))
        c->sent.samples += e->count;
    e->count = part(now->tasks, c->sent.tasks);
    e->samples = part(now->task_samples, c->sent.task_samples);
    if (e->count && !c->absent && tell_work(c, EVENT_TASK, now)) {
        c->sent.tasks += e->count;
        c->sent.task_samples += e->samples;
    }
}

/* The parts of a step are added before it is counted, and read after the counts: no step is told
 * without its parts. */
static struct counts counted(struct monitor_client *c)
{
    struct counts n = {.samples = atomic_load_explicit(&c->samples, memory_order_acquire),
                       .tasks = atomic_load_explicit(&c->tasks, memory_order_acquire)};
    n.task_samples = atomic_load_explicit(&c->task_samples, memory_order_relaxed);
    for (int i = 0; i < EVENT_PART_COUNT; i++)
        n.part_ns[i] = atomic_load_explicit(&c->part_ns[i], memory_order_relaxed);
    return n;
}

/* Under a new id; what the monitor was not told of the benchmark before is dropped. */
static void begin(struct monitor_client *c, const struct counts *from)
{
    new_id(c->event.id);
    c->started = false;
    c->sent = *from;
}

/* A worker's benchmark begins with its first task, and anew after a long silence. */
static void begin_after_gap(struct monitor_client *c, uint64_t now_ns)
{
    if (!c->seen_ns || 1e-9 * (double)(now_ns - c->seen_ns) >= c->gap_seconds)
        begin(c, &c->seen);
}

/* What belongs to the benchmark before is told it, then that has ended. */
static void take_prefix(struct monitor_client *c, const char *prefix, const struct counts *at)
{
    if (c->seen_ns && !c->absent)
        tell_counts(c, at);
    if (c->started && !c->absent)
        tell(c, EVENT_STOP);
    memcpy(c->event.prefix, prefix, sizeof(c->event.prefix));
    begin(c, at);
    c->seen = *at;
    c->seen_ns = 0;
}

/* True: a benchmark is asked for. */
static bool take_asked(struct monitor_client *c)
{
    char prefix[EVENT_PREFIX_BYTES];
    pthread_mutex_lock(&c->lock);
    bool asked = c->asked, renamed = c->renamed;
    struct counts at = c->renamed_at;
    memcpy(prefix, c->next_prefix, sizeof(prefix));
    c->asked = c->renamed = false;
    pthread_mutex_unlock(&c->lock);
    if (renamed)
        take_prefix(c, prefix, &at);
    if (asked)
        c->absent = 0;
    return asked;
}

static void tick(struct monitor_client *c)
{
    uint64_t now_ns = clock_now_ns();
    bool asked = take_asked(c);
    struct counts now = counted(c);
    if (asked || now.samples != c->seen.samples || now.tasks != c->seen.tasks) {
        if (c->gap_seconds > 0)
            begin_after_gap(c, now_ns);
        c->seen = now;
        c->seen_ns = now_ns;
    } else if (c->gap_seconds > 0 && !c->seen_ns) {
        return;
    }
    if (c->absent)
        c->absent--;
    else
        tell_counts(c, &now);
    if (asked)
        sem_post(&c->begun);
}

static void *run(void *arg)
{
    struct monitor_client *c = arg;
    struct pollfd p = {.fd = c->wake, .events = POLLIN};
    while (!c->closing_ns) {
        tick(c);
        if (poll(&p, 1, TICK_MS) > 0)
            drain(c->wake);
    }
    c->absent = 0;
    tick(c);
    if (c->started && !c->absent)
        tell(c, EVENT_STOP);
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
    if (!ret)
        pthread_setname_np(c->thread, "monitor"); /* its time can be told from the run's */
    return -ret;
}

static void destroy(struct monitor_client *c)
{
    if (c->wake >= 0)
        close(c->wake);
    sem_destroy(&c->begun);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* -errno and a sentence. */
static int start(struct monitor_client *c, const struct monitor_client_options *opt)
{
    int ret = monitor_address(&c->address, opt->data_dir);
    if (ret < 0)
        return ret;
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake < 0)
        return err_set(errno, "cannot make an eventfd: %s", strerror(errno));
    c->gap_seconds = opt->gap_seconds;
    event_clean(c->event.prefix, sizeof(c->event.prefix), opt->prefix);
    memcpy(c->next_prefix, c->event.prefix, sizeof(c->next_prefix));
    c->event.about = opt->about;
    new_id(c->event.id);
    ret = start_thread(c);
    return ret < 0 ? err_set(-ret, "no thread for it (%s)", strerror(-ret)) : 0;
}

static void wait_begun(struct monitor_client *c)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += MONITOR_BEGIN_MS * 1000000L;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    while (sem_timedwait(&c->begun, &t) < 0 && errno == EINTR)
        ;
}

static void wake(struct monitor_client *c)
{
    uint64_t one = 1;
    ssize_t n = write(c->wake, &one, sizeof(one));
    CHECK(n == sizeof(one));
}

struct monitor_client *monitor_client_open(const struct monitor_client_options *opt)
{
    struct monitor_client *c = calloc(1, sizeof(*c));
    if (!c) {
        log_warning("monitor", "No statistics are sent: no memory for what tells the monitor");
        return NULL;
    }
    c->wake = -1;
    pthread_mutex_init(&c->lock, NULL);
    sem_init(&c->begun, 0, 0);
    c->asked = opt->gap_seconds <= 0;
    if (start(c, opt) == 0) {
        if (opt->gap_seconds <= 0)
            wait_begun(c);
        return c;
    }
    log_warning("monitor", "No statistics are sent: %s", err_text());
    destroy(c);
    return NULL;
}

bool monitor_client_close(struct monitor_client *c)
{
    if (!c)
        return false;
    c->closing_ns = clock_now_ns();
    wake(c);
    pthread_join(c->thread, NULL);
    bool heard = c->heard;
    destroy(c);
    return heard;
}

bool monitor_answers(const struct monitor_client *c)
{
    return c && c->heard;
}

void monitor_begin(struct monitor_client *c, const char *prefix)
{
    char clean[EVENT_PREFIX_BYTES];
    if (!c)
        return;
    event_clean(clean, sizeof(clean), prefix);
    pthread_mutex_lock(&c->lock);
    if (strcmp(clean, c->next_prefix) != 0) {
        memcpy(c->next_prefix, clean, sizeof(clean));
        if (!c->renamed) /* twice in a tick, with tasks between: they go to the last */
            c->renamed_at = counted(c);
        c->renamed = true;
    }
    c->asked = true;
    pthread_mutex_unlock(&c->lock);
    while (sem_trywait(&c->begun) == 0)
        ; /* of a time before, that came too late */
    wake(c);
    wait_begun(c);
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_release);
}

void monitor_batch(struct monitor_client *c, int samples, double loss)
{
    if (!c)
        return;
    atomic_store_explicit(&c->loss, loss, memory_order_relaxed);
    count(&c->samples, (uint64_t)samples);
}

void monitor_task(struct monitor_client *c, int tasks, int samples, double loss)
{
    if (!c)
        return;
    atomic_store_explicit(&c->loss, loss, memory_order_relaxed);
    count(&c->task_samples, (uint64_t)samples);
    count(&c->tasks, (uint64_t)tasks);
}

void monitor_parts(struct monitor_client *c, const uint64_t part_ns[EVENT_PART_COUNT])
{
    for (int i = 0; c && i < EVENT_PART_COUNT; i++)
        count(&c->part_ns[i], part_ns[i]);
}
