/*
 * libmicrohttpd's daemon with one thread and bounded connections. Of its interface what 0.9.66 has,
 * which Ubuntu 20.04 brings. No answer allows another site's page to read it, and the page itself
 * may load nothing.
 */
#include "monitor/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

#if HAVE_MICROHTTPD
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "monitor/http_answer.h"

enum { CONNECTIONS = 32, SILENT_SECONDS = 10, REQUEST_BYTES = 16384, BACKLOG = 32 };

#if MHD_VERSION < 0x00097002
#define MHD_Result int /* it became a type of its own then */
#else
#define MHD_Result enum MHD_Result
#endif

struct http {
    struct MHD_Daemon *daemon;
    struct board *board, *view; /* view: of the daemon's thread */
    bool local;
    int port;
};

static const struct {
    const char *name, *value;
} headers[] = {
    {"Cache-Control", "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
     "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
};

static MHD_Result send_answer(struct MHD_Connection *c, struct http_answer *a)
{
    struct MHD_Response *r;
    if (a->fixed) {
        void *fixed; /* it is only read, though the library's interface does not say so */
        memcpy(&fixed, &a->fixed, sizeof(fixed));
        r = MHD_create_response_from_buffer(a->fixed_bytes, fixed, MHD_RESPMEM_PERSISTENT);
    } else {
        r = MHD_create_response_from_buffer(a->text.bytes, a->text.at, MHD_RESPMEM_MUST_FREE);
        if (!r)
            free(a->text.at);
    }
    if (!r)
        return MHD_NO;
    bool made = MHD_add_response_header(r, "Content-Type", a->type) == MHD_YES;
    if (a->allow)
        made &= MHD_add_response_header(r, "Allow", a->allow) == MHD_YES;
    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++)
        made &= MHD_add_response_header(r, headers[i].name, headers[i].value) == MHD_YES;
    MHD_Result ret = made ? MHD_queue_response(c, (unsigned)a->status, r) : MHD_NO;
    MHD_destroy_response(r);
    return ret;
}

/* Called first when the header is there, then when all of the request is. What is refused for its
 * method is so at once, unread, and so is a body: then the connection is closed. */
static MHD_Result handle(void *arg, struct MHD_Connection *c, const char *url, const char *method,
                         const char *version, const char *upload, size_t *upload_bytes,
                         void **state)
{
    struct http *h = arg;
    struct http_answer a;
    bool reads = !strcmp(method, "GET") || !strcmp(method, "HEAD");
    if (*upload_bytes)
        return MHD_NO;
    if (reads && !*state) {
        *state = h;
        return MHD_YES;
    }
    struct http_request q = {
        .method = method,
        .path = url,
        .host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host"),
        .accept = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Accept"),
        .since = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "since"),
        .local = h->local,
    };
    http_answer(&a, &q, h->board, h->view);
    return send_answer(c, &a);
}

static void note(void *arg, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
static void note(void *arg, const char *format, va_list ap)
{
    char line[256];
    vsnprintf(line, sizeof(line), format, ap);
    line[strcspn(line, "\n")] = '\0';
    log_debug("monitor", "HTTP: %s", line);
}

static bool is_local(const struct sockaddr *a)
{
    const struct sockaddr_in *in = (const void *)a;
    const struct sockaddr_in6 *in6 = (const void *)a;
    return a->sa_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr)
                                    : ntohl(in->sin_addr.s_addr) >> 24 == 127;
}

/* The socket, or -errno and a sentence. */
static int listen_at(struct http *h, const char *host, int port)
{
    char service[16];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *a = NULL;
    snprintf(service, sizeof(service), "%d", port);
    int ret = getaddrinfo(host, service, &hints, &a), one = 1;
    if (ret)
        return err_set(EADDRNOTAVAIL, "cannot listen for HTTP on %s: %s", host, gai_strerror(ret));
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        ret = err_set(errno, "cannot listen for HTTP on %s:%d: %s", host, port, strerror(errno));
        if (fd >= 0)
            close(fd);
        fd = ret;
    }
    h->local = is_local(a->ai_addr);
    freeaddrinfo(a);
    struct sockaddr_in6 at = {.sin6_port = 0}; /* the port lies at the same place in both */
    socklen_t bytes = sizeof(at);
    if (fd >= 0 && getsockname(fd, (struct sockaddr *)&at, &bytes) == 0)
        h->port = ntohs(at.sin6_port);
    return fd;
}

/* The monitor's signals are for the thread that runs it. */
static int start(struct http *h, int fd)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    h->daemon = MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG,
                                 0, NULL, NULL, handle, h, MHD_OPTION_EXTERNAL_LOGGER, note, NULL,
                                 MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                                 (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
                                 (unsigned)SILENT_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                 (size_t)REQUEST_BYTES, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (h->daemon)
        return 0;
    close(fd);
    return err_set(EIO, "libmicrohttpd does not start: see --verbose");
}

int http_open(struct http **out, const char *host, int port, struct board *board)
{
    struct http *h = calloc(1, sizeof(*h));
    if (h)
        h->view = calloc(1, sizeof(*h->view));
    int fd = h && h->view ? 0 : err_set(ENOMEM, "no memory for serving HTTP");
    if (fd == 0) {
        h->board = board;
        fd = listen_at(h, host, port);
    }
    int ret = fd < 0 ? fd : start(h, fd);
    if (ret < 0) {
        http_close(h);
        return ret;
    }
    bool colon = strchr(host, ':');
    log_info("monitor", "Watch the runs at http://%s%s%s:%d/", colon ? "[" : "", host,
             colon ? "]" : "", h->port);
    if (!h->local)
        log_warning("monitor", "%s is no loopback address: whoever reaches it sees the runs", host);
    *out = h;
    return 0;
}

int http_port(const struct http *h)
{
    return h->port;
}

void http_close(struct http *h)
{
    if (!h)
        return;
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    free(h->view);
    free(h);
}

#else

int http_open(struct http **h, const char *host, int port, struct board *board)
{
    return err_set(ENOSYS, "this program was built without libmicrohttpd, which --http wants: "
                           "install libmicrohttpd-dev and build it again");
}

int http_port(const struct http *h)
{
    return -1;
}

void http_close(struct http *h)
{
}
#endif
