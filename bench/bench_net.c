/*
 * Round trips of a frame over loopback, there and back, beside a plain C send and recv of the same
 * bytes with the same socket options and over the same ring of buffers, in turns in one run. A
 * line a size and variant: median of the rounds' medians in microseconds, its ratio to plain, and
 * for both sides together the processor time and for the loop the system calls a frame.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "net/net.h"

enum { SLOTS = 4, ROUNDS = 7, VARIANTS = 5 };

struct variant {
    const char *name;
    enum net_transport transport;
    bool plain, thread;
};

static const struct variant variants[VARIANTS] = {
    {"plain", 0, true, false},
    {"uring", NET_URING, false, false},
    {"poll", NET_POLL, false, false},
    {"uring thread", NET_URING, false, true},
    {"poll thread", NET_POLL, false, true},
};

struct result {
    double median_us, cpu_us, calls;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_net: %s: %s\n", what, err_text());
    exit(1);
}

static double cpu_us(const struct rusage *u)
{
    return 1e6 * (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec);
}

static double self_cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return cpu_us(&u);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof(*v), compare);
    return v[n / 2];
}

static struct frame_memory memory(size_t payload)
{
    struct frame_memory m = {.nslot = SLOTS, .aux_max = 256, .payload_max = payload};
    size_t bytes = frame_memory_bytes(SLOTS, m.aux_max, payload);

    m.base = aligned_alloc(FRAME_PAGE, bytes);
    must(m.base, "no memory");
    memset(m.base, 1, bytes);
    return m;
}

/* Plain C: what a good program of twenty lines does. */
static void tune(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
}

static bool plain_send(int fd, const char *p, size_t n)
{
    for (ssize_t r; n > 0; p += r, n -= (size_t)r)
        if ((r = send(fd, p, n, MSG_NOSIGNAL)) <= 0)
            return false;
    return true;
}

static bool plain_receive(int fd, char *p, size_t n)
{
    for (ssize_t r; n > 0; p += r, n -= (size_t)r)
        if ((r = recv(fd, p, n, MSG_WAITALL)) <= 0)
            return false;
    return true;
}

static void plain_server(int listener, size_t payload)
{
    struct frame_memory rx = memory(payload), tx = memory(payload);
    size_t bytes = payload + sizeof(struct wire_head);
    int fd = accept(listener, NULL, NULL);

    tune(fd);
    for (unsigned i = 0; plain_receive(fd, frame_payload(&rx, i), payload); i = (i + 1) % SLOTS) {
        char head[sizeof(struct wire_head)];
        if (!plain_receive(fd, head, sizeof(head)) ||
            !plain_send(fd, (char *)frame_payload(&tx, i) - sizeof(head), bytes))
            break;
    }
    _exit(0);
}

static void plain_client(int port, size_t payload, double *us, int warm, int iterations,
                         struct result *r)
{
    struct frame_memory rx = memory(payload), tx = memory(payload);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    size_t bytes = payload + sizeof(struct wire_head);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    must(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0, "connect");
    tune(fd);
    for (int i = -warm; i < iterations; i++) {
        unsigned s = (unsigned)(i + warm) % SLOTS;
        uint64_t start = clock_now_ns();
        must(plain_send(fd, (char *)frame_payload(&tx, s) - sizeof(struct wire_head), bytes),
             "send");
        must(plain_receive(fd, (char *)frame_payload(&rx, s) - sizeof(struct wire_head), bytes),
             "recv");
        if (i >= 0)
            us[i] = 1e-3 * (double)(clock_now_ns() - start);
    }
    r->calls = 2;
    close(fd);
    free(rx.base);
    free(tx.base);
}

static struct hello hello_of(size_t payload)
{
    uint32_t floats = (uint32_t)(payload / 4);
    struct hello h = {.mode = HELLO_TRAIN,
                      .model = "bench",
                      .batch = 1,
                      .micro_batches = 1,
                      .in_flight = 1,
                      .dtype = WIRE_F32,
                      .ndim = 2,
                      .dim = {1, floats},
                      .want_gradient = true,
                      .classes = 10};
    return h;
}

static struct channel_rings rings_of(size_t payload, enum wire_type receives)
{
    struct channel_rings r = {.tx = memory(payload), .rx = memory(payload)};
    r.expect = (struct wire_expect){
        .types = 1u << receives, .ndim = 2, .dim = {1, (uint32_t)(payload / 4)}};
    return r;
}

static void publish(struct channel *c, enum wire_type type, size_t payload)
{
    struct wire_head *h;
    int dim[2] = {1, (int)(payload / 4)};

    must(channel_wait_slot(c, -1) == 0, "slot");
    h = channel_tx_head(c);
    wire_head_init(h, type, 0);
    wire_head_shape(h, WIRE_F32, 2, dim);
    h->n_samples = h->n_full = h->micro_count = 1;
    channel_publish(c);
}

static struct net *open_net(const struct variant *v)
{
    struct net_options opt = net_options_default();
    struct net *n;

    opt.transport = v->transport;
    opt.thread = v->thread;
    must(net_open(&n, &opt) == 0, v->name);
    return n;
}

static void server(const struct variant *v, int port_pipe, size_t payload)
{
    struct channel_rings rings = rings_of(payload, WIRE_ACTIVATION);
    struct answer yes = {.verdict = ANSWER_ACCEPT};
    struct net *n = open_net(v);
    struct channel *c;
    int port;

    must(net_listen(n, "127.0.0.1", 0) == 0, "listen");
    port = net_port(n);
    must(write(port_pipe, &port, sizeof(port)) == sizeof(port), "pipe");
    while (!(c = net_offered(n)))
        net_wait(n, -1);
    channel_accept(c, &yes, &rings);
    for (uint64_t i = 0; channel_wait_frame(c, i, -1) == 0; i++) {
        publish(c, WIRE_GRADIENT, payload);
        channel_release(c);
    }
    channel_close(c);
    net_close(n);
    _exit(0);
}

static void client(const struct variant *v, int port, size_t payload, double *us, int warm,
                   int iterations, struct result *r)
{
    struct channel_rings rings = rings_of(payload, WIRE_GRADIENT);
    struct hello h = hello_of(payload);
    struct net *n = open_net(v);
    struct channel *c;
    uint64_t calls = 0;

    must(channel_connect(&c, n, "127.0.0.1", port, &h, &rings) == 0 &&
             channel_wait_open(c, 10000) == 0,
         "connect");
    for (int i = -warm; i < iterations; i++) {
        uint64_t start = clock_now_ns();
        if (i == 0)
            calls = net_calls(n);
        publish(c, WIRE_ACTIVATION, payload);
        must(channel_wait_frame(c, (uint64_t)(i + warm), -1) == 0, "frame");
        channel_release(c);
        if (i >= 0)
            us[i] = 1e-3 * (double)(clock_now_ns() - start);
    }
    r->calls = (double)(net_calls(n) - calls) / iterations;
    channel_end(c);
    channel_close(c);
    net_close(n);
    free(rings.rx.base);
    free(rings.tx.base);
}

static int plain_listener(int port_pipe)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0), port;

    must(bind(fd, (struct sockaddr *)&a, bytes) == 0 && listen(fd, 1) == 0 &&
             getsockname(fd, (struct sockaddr *)&a, &bytes) == 0,
         "listen");
    port = ntohs(a.sin_port);
    must(write(port_pipe, &port, sizeof(port)) == sizeof(port), "pipe");
    return fd;
}

static struct result run(const struct variant *v, size_t payload, double *us, int iterations)
{
    struct result r = {0};
    int to_us[2], port, warm = iterations / 10 + 8;
    struct rusage child;
    double before;
    pid_t pid;

    must(pipe(to_us) == 0, "pipe");
    pid = fork();
    if (pid == 0) {
        if (v->plain)
            plain_server(plain_listener(to_us[1]), payload);
        server(v, to_us[1], payload);
    }
    must(read(to_us[0], &port, sizeof(port)) == sizeof(port), "pipe");
    before = self_cpu_us();
    (v->plain ? plain_client(port, payload, us, warm, iterations, &r)
              : client(v, port, payload, us, warm, iterations, &r));
    r.cpu_us = self_cpu_us() - before;
    must(wait4(pid, NULL, 0, &child) == pid, "wait");
    r.cpu_us = (r.cpu_us + cpu_us(&child)) / (iterations + warm);
    r.median_us = median(us, iterations);
    close(to_us[0]);
    close(to_us[1]);
    return r;
}

int main(void)
{
    static const size_t sizes[] = {4096, 65536, 2u << 20, 8u << 20};
    static const int iterations[] = {3000, 2000, 150, 40};

    log_set_level(LOG_ERROR);
    for (int s = 0; s < 4; s++) {
        double *us = malloc((size_t)iterations[s] * sizeof(*us)), best[VARIANTS][ROUNDS], plain = 0;
        struct result r[VARIANTS];

        for (int round = 0; round < ROUNDS; round++)
            for (int v = 0; v < VARIANTS; v++) {
                r[v] = run(&variants[v], sizes[s], us, iterations[s]);
                best[v][round] = r[v].median_us;
            }
        for (int v = 0; v < VARIANTS; v++) {
            double m = median(best[v], ROUNDS);
            plain = v ? plain : m;
            printf("{\"bench\": \"net\", \"variant\": \"%s\", \"frame_bytes\": %zu, "
                   "\"round_trip_us\": %.1f, \"best_us\": %.1f, "
                   "\"worst_us\": %.1f, \"ratio_to_plain\": %.3f, \"cpu_us_per_frame\": %.1f, "
                   "\"calls_per_frame\": %.2f}\n",
                   variants[v].name, sizes[s], m, best[v][0], best[v][ROUNDS - 1], m / plain,
                   r[v].cpu_us / 2, r[v].calls / 2);
            fflush(stdout);
        }
        free(us);
    }
    return 0;
}
