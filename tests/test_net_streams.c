/*
 * One node and many neighbours: several streams at once that do not disturb each other, one that
 * is told to come again, a listener that computes for longer than a hello may take, and kernels
 * that refuse io_uring.
 */
#include "net_pair.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { CLIENTS = 5, FRAMES_EACH = 200, N = 3, ROW = 50 };

static const struct pair_shape shape = {N, ROW, PAIR_SLOTS};

struct stream {
    struct channel *c;
    struct channel_rings rings;
    uint64_t n;
};

struct worker {
    struct net *net;
    _Atomic int served, failed; /* looked at while the worker works */
    int port, busy_first;
    pthread_t thread;
};

static void answer_one(struct stream *s)
{
    struct wire_head *h = channel_tx_head(s->c);
    float *out = channel_tx_payload(s->c);
    const float *in = channel_payload(s->c, s->n);

    pair_fill_head(h, WIRE_GRADIENT, N, ROW);
    for (int i = 0; i < N * ROW; i++)
        out[i] = in[i] + 1;
    channel_release(s->c);
    channel_publish(s->c);
    s->n++;
}

/* All that streams want now; true if there was anything. */
static bool serve_all(struct worker *w, struct stream s[])
{
    bool any = false;

    for (int i = 0; i < CLIENTS; i++) {
        int r;
        if (!s[i].c)
            continue;
        r = channel_wait_frame(s[i].c, s[i].n, 0);
        if (r == 0 && channel_wait_slot(s[i].c, 0) == 0) {
            answer_one(&s[i]);
            any = true;
        } else if (r < 0 && r != -ETIMEDOUT && r != -EINTR) {
            w->served += r == -ENODATA;
            w->failed += r != -ENODATA;
            channel_close(s[i].c);
            pair_rings_free(&s[i].rings);
            s[i] = (struct stream){0};
            any = true;
        }
    }
    return any;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct stream s[CLIENTS] = {{0}};
    struct answer yes = {.node = "server"};
    struct channel *c;

    while (!net_stopping(w->net)) {
        while ((c = net_offered(w->net)) != NULL) {
            int i = 0;
            while (i < CLIENTS && s[i].c)
                i++;
            if (i == CLIENTS || w->busy_first-- > 0) {
                channel_refuse(c, ANSWER_BUSY, "later");
                continue;
            }
            s[i].c = c;
            s[i].rings = pair_rings(&shape, true);
            channel_accept(c, &yes, &s[i].rings);
        }
        if (!serve_all(w, s))
            net_wait(w->net, 10000);
    }
    return NULL;
}

static int variants(void)
{
    return pair_can(NET_URING) ? 4 : 2;
}

static struct net_options options(int v)
{
    struct net_options opt = net_options_default();
    opt.transport = v / 2 ? NET_URING : NET_POLL;
    opt.thread = v % 2;
    opt.retry_ms = 50;
    return opt;
}

static void worker_start(struct worker *w, const struct net_options *opt)
{
    assert_int_equal(net_open(&w->net, opt), 0);
    assert_int_equal(net_listen(w->net, "127.0.0.1", 0), 0);
    w->port = net_port(w->net);
    assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

static void worker_stop(struct worker *w)
{
    net_stop(w->net);
    pthread_join(w->thread, NULL);
    net_close(w->net);
}

struct client {
    int v, port, dies_at;
    const char *problem;
    char why[256];
    pthread_t thread;
};

/* cmocka's assertions belong to the main thread: a problem is told afterwards. */
static const char *one_frame(struct channel *c, uint64_t n)
{
    struct wire_head *h;
    float *out;

    if (channel_wait_slot(c, 30000) < 0)
        return "no slot";
    h = channel_tx_head(c);
    pair_fill_head(h, WIRE_ACTIVATION, N, ROW);
    h->aux_bytes = 4 * N;
    memset(channel_tx_aux(c, 4 * N), 0, 4 * N);
    out = channel_tx_payload(c);
    for (int i = 0; i < N * ROW; i++)
        out[i] = (float)(n * 1000 + (uint64_t)i);
    channel_publish(c);
    if (channel_wait_frame(c, n, 30000) < 0)
        return "no answer";
    for (int i = 0; i < N * ROW; i++)
        if (((float *)channel_payload(c, n))[i] != (float)(n * 1000 + (uint64_t)i) + 1)
            return "somebody else's answer";
    channel_release(c);
    return NULL;
}

static void *client(void *arg)
{
    struct client *k = arg;
    struct net_options opt = options(k->v);
    struct hello h = pair_hello(&shape);
    struct channel_rings rings = pair_rings(&shape, false);
    struct channel *c = NULL;
    struct net *n;

    if (net_open(&n, &opt) < 0)
        return (void *)(k->problem = "net_open");
    if (channel_connect(&c, n, "127.0.0.1", k->port, &h, &rings) < 0 ||
        channel_wait_open(c, 30000) < 0)
        k->problem = "not accepted";
    snprintf(k->why, sizeof(k->why), "%s", err_text());
    for (int i = 0; !k->problem && i < FRAMES_EACH && i != k->dies_at; i++)
        k->problem = one_frame(c, (uint64_t)i);
    if (k->dies_at < 0)
        channel_end(c);
    channel_close(c);
    net_close(n);
    pair_rings_free(&rings);
    return NULL;
}

static void run_clients(struct client k[], int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(pthread_create(&k[i].thread, NULL, client, &k[i]), 0);
    for (int i = 0; i < count; i++)
        pthread_join(k[i].thread, NULL);
    for (int i = 0; i < count; i++)
        if (k[i].problem)
            fail_msg("client %d: %s: %s", i, k[i].problem, k[i].why);
}

/* Five at once, of which one dies half way: four get every answer, each its own. */
static void test_several_streams(void **state)
{
    for (int v = 0; v < variants(); v++) {
        struct net_options opt = options(v);
        struct worker w = {0};
        struct client k[CLIENTS];

        worker_start(&w, &opt);
        for (int i = 0; i < CLIENTS; i++)
            k[i] =
                (struct client){.v = v, .port = w.port, .dies_at = i == 2 ? FRAMES_EACH / 2 : -1};
        run_clients(k, CLIENTS);
        for (int i = 0; i < 200 && w.served + w.failed < CLIENTS; i++)
            run_clients(&(struct client){.v = v, .port = w.port, .dies_at = 1}, 1);
        worker_stop(&w);
        assert_int_equal(w.served, CLIENTS - 1);
        assert_true(w.failed >= 1);
    }
}

/* Twice told that the worker is busy, then accepted. */
static void test_busy(void **state)
{
    for (int v = 0; v < variants(); v++) {
        struct net_options opt = options(v);
        struct worker w = {.busy_first = 2};
        struct client k = {.v = v, .dies_at = -1};

        worker_start(&w, &opt);
        k.port = w.port;
        run_clients(&k, 1);
        worker_stop(&w);
        assert_int_equal(w.busy_first, -1);
    }
}

static int say_nothing_yet(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void say_hello(int fd)
{
    struct hello h = pair_hello(&shape);
    char out[sizeof(struct wire_head) + HELLO_WIRE_BYTES];

    wire_head_init((struct wire_head *)out, WIRE_HELLO, 0);
    ((struct wire_head *)out)->aux_bytes = HELLO_WIRE_BYTES;
    hello_encode(&h, out + sizeof(struct wire_head));
    assert_int_equal(send(fd, out, sizeof(out), 0), sizeof(out));
}

/* A node without a loop thread that computes for longer than hello_ms: a hello that came meanwhile
 * was in time. */
static void test_busy_listener(void **state)
{
    for (int v = 0; v < variants(); v += 2) {
        struct net_options opt = options(v);
        struct channel *c = NULL;
        struct net *n;
        int fd;

        opt.hello_ms = 1500;
        assert_int_equal(net_open(&n, &opt), 0);
        assert_int_equal(net_listen(n, "127.0.0.1", 0), 0);
        fd = say_nothing_yet(net_port(n));
        for (int i = 0; i < 4; i++)
            net_wait(n, 10); /* it is accepted, and has said nothing */
        say_hello(fd);
        usleep(2000000);
        for (int i = 0; i < 100 && !c; i++) {
            net_wait(n, 10);
            c = net_offered(n);
        }
        assert_non_null(c);
        channel_refuse(c, ANSWER_REFUSE, "this was only a test");
        net_close(n);
        close(fd);
    }
}

/* As a container's filter does it. In a process of its own: a filter stays. */
static void refuse_io_uring(int err)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = code};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77);
}

static int in_container(int err)
{
    struct net_options opt = net_options_default();
    struct net *n;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        refuse_io_uring(err);
        opt.transport = NET_URING;
        if (net_open(&n, &opt) != -err)
            _exit(1);
        if (!strstr(err_text(), "seccomp") || !strstr(err_text(), "--security-opt"))
            _exit(2);
        opt.thread = true;
        if (net_open(&n, &opt) != -err || !strstr(err_text(), "seccomp"))
            _exit(3);
        opt.transport = NET_AUTO;
        if (net_open(&n, &opt) != 0 || strcmp(net_transport_text(n), "poll"))
            _exit(4);
        net_close(n);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_refused_io_uring(void **state)
{
    static const int errs[] = {EPERM, ENOSYS};

    if (!pair_can(NET_URING))
        skip(); /* it is refused already, for a reason of its own */
    for (int i = 0; i < 2; i++) {
        int r = in_container(errs[i]);
        if (r == 77)
            skip();
        assert_int_equal(r, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_io_uring),
        cmocka_unit_test(test_several_streams),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_busy_listener),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
