/* Sockets and names. Everything here returns at once; the one thing that may take seconds has its
 * own thread. */
#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

enum { BACKLOG = 128 };

char *socket_text(char *text, const struct socket_address *a)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (a->addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->addr;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        snprintf(text, SOCKET_TEXT_BYTES, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a->addr;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(text, SOCKET_TEXT_BYTES, "%s:%u", host, ntohs(in->sin_port));
    }
    return text;
}

/* Both ends have one address: loopback, or a machine that talks to its own. */
bool socket_is_local(int fd)
{
    struct sockaddr_storage here = {0}, there = {0};
    socklen_t n = sizeof(here), m = sizeof(there);

    if (getsockname(fd, (struct sockaddr *)&here, &n) < 0 ||
        getpeername(fd, (struct sockaddr *)&there, &m) < 0 || here.ss_family != there.ss_family)
        return false;
    if (here.ss_family == AF_INET)
        return ((struct sockaddr_in *)&here)->sin_addr.s_addr ==
               ((struct sockaddr_in *)&there)->sin_addr.s_addr;
    return here.ss_family == AF_INET6 &&
           memcmp(&((struct sockaddr_in6 *)&here)->sin6_addr,
                  &((struct sockaddr_in6 *)&there)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static void set_int(int fd, int level, int name, int value)
{
    setsockopt(fd, level, name, &value, sizeof(value));
}

/* None of these is needed to work, only to work well: failures are not errors. */
void socket_tune(int fd, const struct socket_tuning *tune, bool connected)
{
    int seconds = tune->dead_ms / 1000 > 3 ? tune->dead_ms / 1000 : 3;

    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds / 3);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds / 3);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 2);
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, tune->dead_ms);
    if (tune->socket_buffer) {
        set_int(fd, SOL_SOCKET, SO_SNDBUF, tune->socket_buffer);
        set_int(fd, SOL_SOCKET, SO_RCVBUF, tune->socket_buffer);
    }
    /* bbr paces what needs no pacing there: it more than halves the rate of large frames on
     * loopback. */
    if (connected && socket_is_local(fd))
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", strlen("cubic"));
}

uint64_t socket_progress(int fd)
{
    struct tcp_info_progress {
        struct tcp_info old;
        uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
    } info = {0};
    socklen_t n = sizeof(info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
        return 0;
    return info.bytes_acked + info.bytes_received;
}

int socket_listen(const char *address, int *port, const struct socket_tuning *tune)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE},
                    *list;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } got = {.any = {0}};
    socklen_t got_bytes = sizeof(got);
    char service[16];
    int fd, err;

    snprintf(service, sizeof(service), "%d", *port);
    err = getaddrinfo(*address ? address : NULL, service, &hints, &list);
    if (err)
        return err_set(EADDRNOTAVAIL, "cannot listen on %s port %d: %s", address, *port,
                       gai_strerror(err));
    fd = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        socket_tune(fd, tune, false);
    }
    if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, &got.any, &got_bytes) < 0) {
        err = errno;
        if (fd >= 0)
            close(fd);
        freeaddrinfo(list);
        return err_set(err, "cannot listen on %s port %d: %s%s", address, *port, strerror(err),
                       err == EADDRINUSE ? ": is another node running there? make stop ends it"
                                         : "");
    }
    freeaddrinfo(list);
    *port = ntohs(got.any.sa_family == AF_INET6 ? got.v6.sin6_port : got.v4.sin_port);
    return fd;
}

int socket_connect(const struct socket_address *a, const struct socket_tuning *tune)
{
    int fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

    if (fd < 0)
        return -errno;
    socket_tune(fd, tune, false);
    if (connect(fd, (const struct sockaddr *)&a->addr, a->bytes) < 0 && errno != EINPROGRESS &&
        errno != EINTR) {
        err = errno;
        close(fd);
        return -err;
    }
    return fd;
}

/* Shared by the loop and the thread that looks up; freed by the last of the two, so that neither
 * waits for the other. */
struct lookup {
    _Atomic int refs, done;
    char host[256], service[16];
    int event_fd, count;
    struct socket_address address[SOCKET_MAX_ADDRESSES];
};

static void look_up(struct lookup *l, int flags)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags},
                    *list = NULL;

    if (getaddrinfo(l->host, l->service, &hints, &list) == 0)
        for (struct addrinfo *i = list; i && l->count < SOCKET_MAX_ADDRESSES; i = i->ai_next) {
            struct socket_address *a = &l->address[l->count++];
            memcpy(&a->addr, i->ai_addr, i->ai_addrlen);
            a->bytes = i->ai_addrlen;
        }
    if (list)
        freeaddrinfo(list);
}

static void *lookup_thread(void *arg)
{
    struct lookup *l = arg;
    uint64_t one = 1;

    look_up(l, 0);
    atomic_store_explicit(&l->done, 1, memory_order_release);
    if (write(l->event_fd, &one, sizeof(one)) < 0) {
        /* Full: the loop is being woken anyway. */
    }
    lookup_drop(l);
    return NULL;
}

int lookup_start(struct lookup **out, const char *host, int port, int event_fd)
{
    struct lookup *l = calloc(1, sizeof(*l));
    pthread_attr_t attr;
    pthread_t thread;
    int err;

    if (!l)
        return err_set(ENOMEM, "no memory to look up %s", host);
    atomic_init(&l->refs, 1);
    l->event_fd = -1;
    snprintf(l->host, sizeof(l->host), "%s", host);
    snprintf(l->service, sizeof(l->service), "%d", port);
    look_up(l, AI_NUMERICHOST);
    if (l->count) {
        atomic_store_explicit(&l->done, 1, memory_order_release);
        *out = l;
        return 0;
    }
    l->event_fd = dup(event_fd);
    if (l->event_fd < 0) {
        err = errno;
        lookup_drop(l);
        return err_set(err, "no descriptor to look up %s: %s", host, strerror(err));
    }
    atomic_store(&l->refs, 2);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    err = pthread_create(&thread, &attr, lookup_thread, l);
    pthread_attr_destroy(&attr);
    if (err) {
        atomic_store(&l->refs, 1);
        lookup_drop(l);
        return err_set(err, "no thread to look up %s: %s", host, strerror(err));
    }
    *out = l;
    return 0;
}

bool lookup_done(const struct lookup *l)
{
    return atomic_load_explicit(&l->done, memory_order_acquire);
}

int lookup_addresses(const struct lookup *l, struct socket_address a[])
{
    CHECK(lookup_done(l));
    for (int i = 0; i < l->count; i++)
        a[i] = l->address[i];
    return l->count;
}

void lookup_drop(struct lookup *l)
{
    if (!l || atomic_fetch_sub(&l->refs, 1) > 1)
        return;
    if (l->event_fd >= 0)
        close(l->event_fd);
    free(l);
}
