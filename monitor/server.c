/*
 * One poll loop: the listening socket, a fixed number of connections with a fixed buffer each, the
 * next sample's time. Whoever is connected is nobody to trust: silent ones are dropped, and what
 * they say wrong is logged at most so often.
 */
#include "monitor/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "monitor/address.h"
#include "monitor/http.h"
#include "monitor/nvml.h"
#include "monitor/runs.h"

enum { CONNECTIONS = 64, BACKLOG = 128, SILENT_MS = 5000, COMPLAINTS = 5 };
static const uint64_t SECOND_NS = 1000000000;

struct connection {
    int fd; /* -1: this entry is free */
    uint64_t since_ns;
    size_t used;
    char text[EVENT_MAX_BYTES + 1]; /* one more tells a message that is too long */
};

struct monitor_server {
    int folder, listener, wake;
    struct sockaddr_un address;
    bool bound;
    uint64_t period_ns, next_sample_ns;
    struct host host;
    struct runs runs;
    struct board *board; /* NULL: nobody watches */
    struct http *http;
    struct connection connection[CONNECTIONS];
    uint64_t complaints_ns; /* the second in which these were logged, or were not */
    int complaints, unsaid;
};

/* At most COMPLAINTS lines a second: nobody fills the disk with a bad client. */
static void complain(struct monitor_server *s, const char *sentence)
{
    board_message(s->board, true);
    uint64_t now = clock_now_ns();
    if (now - s->complaints_ns >= SECOND_NS) {
        if (s->unsaid)
            log_warning("monitor", "Ignored %d more messages", s->unsaid);
        s->complaints_ns = now;
        s->complaints = s->unsaid = 0;
    }
    if (s->complaints++ < COMPLAINTS)
        log_warning("monitor", "Ignored a message: %s", sentence);
    else
        s->unsaid++;
}

static void drop(struct connection *c)
{
    close(c->fd);
    c->fd = -1;
}

/* The client may be gone already: then nobody misses the answer. */
static void acknowledge(struct connection *c)
{
    if (send(c->fd, "ACK", 3, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("monitor", "A client did not wait for its answer: %s", strerror(errno));
    drop(c);
}

/* One message is there, or more is to come, or none ever will. */
static void take_message(struct monitor_server *s, struct connection *c, bool last)
{
    struct event e;
    int ret = event_parse(&e, c->text, c->used);
    if (ret == -EAGAIN && !last)
        return;
    if (ret == 0) {
        ret = runs_event(&s->runs, &e, clock_now_ns());
        if (ret < 0)
            complain(s, err_text());
        else
            board_message(s->board, false);
        acknowledge(c);
        return;
    }
    if (c->used || !last)
        complain(s, err_text());
    drop(c);
}

/* A client need not close its side: then a brace may be the end. */
static bool ends_with_brace(const struct connection *c)
{
    size_t n = c->used;
    while (n && strchr(" \t\r\n", c->text[n - 1]) && c->text[n - 1])
        n--;
    return n && c->text[n - 1] == '}';
}

static void receive(struct monitor_server *s, struct connection *c)
{
    ssize_t n = recv(c->fd, c->text + c->used, sizeof(c->text) - c->used, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        drop(c);
        return;
    }
    c->used += (size_t)n;
    if (n == 0 || ends_with_brace(c) || c->used == sizeof(c->text))
        take_message(s, c, n == 0);
}

static struct connection *free_connection(struct monitor_server *s)
{
    for (int i = 0; i < CONNECTIONS; i++)
        if (s->connection[i].fd < 0)
            return &s->connection[i];
    return NULL;
}

static void accept_all(struct monitor_server *s)
{
    struct connection *c;
    while ((c = free_connection(s)) != NULL) {
        c->fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (c->fd < 0)
            return;
        c->used = 0;
        c->since_ns = clock_now_ns();
        receive(s, c); /* most often the message is there already */
    }
}

static void drop_silent(struct monitor_server *s, uint64_t now)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        struct connection *c = &s->connection[i];
        if (c->fd < 0 || now - c->since_ns < SILENT_MS * (SECOND_NS / 1000))
            continue;
        complain(s, "a connection without a whole event in 5 s");
        drop(c);
    }
}

static int wait_ms(const struct monitor_server *s)
{
    uint64_t now = clock_now_ns();
    return now >= s->next_sample_ns ? 0 : (int)((s->next_sample_ns - now + 999999) / 1000000);
}

static void sample(struct monitor_server *s)
{
    uint64_t now = clock_now_ns();
    if (now < s->next_sample_ns)
        return;
    s->next_sample_ns += s->period_ns;
    if (s->next_sample_ns <= now) /* the machine slept, or is too slow for this rate */
        s->next_sample_ns = now + s->period_ns;
    runs_sample(&s->runs, now);
    drop_silent(s, now);
}

int monitor_server_run(struct monitor_server *s)
{
    struct pollfd p[2 + CONNECTIONS];
    log_info("monitor", "Starting the monitoring server on '%s'", s->address.sun_path);
    s->next_sample_ns = clock_now_ns() + s->period_ns;
    for (;;) {
        p[0] = (struct pollfd){.fd = s->wake, .events = POLLIN};
        p[1] = (struct pollfd){.fd = free_connection(s) ? s->listener : -1, .events = POLLIN};
        for (int i = 0; i < CONNECTIONS; i++)
            p[2 + i] = (struct pollfd){.fd = s->connection[i].fd, .events = POLLIN};
        if (poll(p, 2 + CONNECTIONS, wait_ms(s)) < 0 && errno != EINTR)
            return err_set(errno, "the monitor cannot wait: %s", strerror(errno));
        if (p[0].revents)
            return 0;
        for (int i = 0; i < CONNECTIONS; i++)
            if (p[2 + i].fd >= 0 && p[2 + i].revents)
                receive(s, &s->connection[i]);
        if (p[1].revents)
            accept_all(s);
        sample(s);
    }
}

void monitor_server_stop(struct monitor_server *s)
{
    int before = errno; /* a signal handler leaves errno alone */
    uint64_t one = 1;
    if (write(s->wake, &one, sizeof(one)) < 0)
        errno = before; /* the counter is full: it is awake anyhow */
    errno = before;
}

static int another_serves(const struct monitor_server *s)
{
    return err_set(EADDRINUSE,
                   "a monitor already serves %s: `make stop` ends one that make started",
                   s->address.sun_path);
}

/* The lock on the folder is ours; a socket that nobody answers at was left by one that died. */
static int clear_the_way(const struct monitor_server *s)
{
    struct stat st;
    if (lstat(s->address.sun_path, &st) < 0)
        return errno == ENOENT
                   ? 0
                   : err_set(errno, "cannot look at %s: %s", s->address.sun_path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return err_set(EEXIST, "%s is no socket: move it away", s->address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(errno, "cannot make a socket: %s", strerror(errno));
    bool answers = !connect(fd, (const struct sockaddr *)&s->address, sizeof(s->address)) ||
                   errno != ECONNREFUSED;
    close(fd);
    if (answers)
        return another_serves(s);
    log_info("monitor", "Removing %s, which a monitor that is gone has left", s->address.sun_path);
    if (unlink(s->address.sun_path) < 0 && errno != ENOENT)
        return err_set(errno, "cannot remove %s: %s", s->address.sun_path, strerror(errno));
    return 0;
}

static int listen_there(struct monitor_server *s, const char *data_dir)
{
    int ret = monitor_address(&s->address, data_dir);
    if (ret == 0)
        ret = csv_make_folders(data_dir);
    if (ret < 0)
        return ret;
    s->folder = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->folder < 0)
        return err_set(errno, "cannot open the folder %s: %s", data_dir, strerror(errno));
    if (flock(s->folder, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? another_serves(s)
                   : err_set(errno, "cannot lock the folder %s: %s", data_dir, strerror(errno));
    ret = clear_the_way(s);
    if (ret < 0)
        return ret;
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->listener < 0 || s->wake < 0)
        return err_set(errno, "cannot make a socket: %s", strerror(errno));
    if (bind(s->listener, (struct sockaddr *)&s->address, sizeof(s->address)) < 0)
        return err_set(errno, "cannot bind %s: %s", s->address.sun_path, strerror(errno));
    s->bound = true;
    if (listen(s->listener, BACKLOG) < 0)
        return err_set(errno, "cannot listen on %s: %s", s->address.sun_path, strerror(errno));
    return 0;
}

/* The page, where one is wanted. Its first sample is now. */
static int open_http(struct monitor_server *s, const struct monitor_server_options *opt)
{
    struct runs *r = &s->runs;
    if (opt->http_port < 0)
        return 0;
    s->board = r->board = board_new(s->host.has_gpu, opt->rate, opt->interface);
    if (!s->board)
        return err_set(ENOMEM, "no memory for what --http shows");
    runs_sample(r, r->begin_ns);
    return http_open(&s->http, opt->http_host, opt->http_port, s->board);
}

int monitor_server_http_port(const struct monitor_server *s)
{
    return s->http ? http_port(s->http) : -1;
}

int monitor_server_open(struct monitor_server **out, const struct monitor_server_options *opt)
{
    struct monitor_server *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(ENOMEM, "no memory for the monitor");
    s->folder = s->listener = s->wake = -1;
    for (int i = 0; i < CONNECTIONS; i++)
        s->connection[i].fd = -1;
    s->period_ns = (uint64_t)(1e9 / opt->rate);
    s->runs.data_dir = opt->data_dir;
    s->runs.interface = opt->interface;
    s->runs.host = &s->host;
    s->runs.begin_ns = clock_now_ns();
    s->runs.timeout_ns = (uint64_t)(1e9 * opt->timeout_seconds);
    int ret = host_open(&s->host, opt->root, opt->interface);
    if (ret == 0)
        ret = listen_there(s, opt->data_dir);
    if (ret == 0)
        ret = open_http(s, opt);
    if (ret < 0) {
        monitor_server_close(s);
        return ret;
    }
    if (s->host.is_tegra)
        log_info("monitor", "Watching this Jetson's GPU (%s) and %d power rails",
                 *s->host.tegra.load ? s->host.tegra.load : "no load file", s->host.tegra.nrail);
    else if (s->host.nvml)
        log_info("monitor", "Watching %d GPUs through NVML", nvml_gpus(s->host.nvml));
    *out = s;
    return 0;
}

void monitor_server_close(struct monitor_server *s)
{
    if (!s)
        return;
    runs_end(&s->runs, clock_now_ns());
    http_close(s->http);
    board_free(s->board);
    for (int i = 0; i < CONNECTIONS; i++)
        if (s->connection[i].fd >= 0)
            drop(&s->connection[i]);
    if (s->bound)
        unlink(s->address.sun_path);
    if (s->listener >= 0)
        close(s->listener);
    if (s->wake >= 0)
        close(s->wake);
    if (s->folder >= 0)
        close(s->folder);
    host_close(&s->host);
    free(s);
}
