/* Frames over real sockets on loopback: every size that matters, both transports, with and without
 * a loop thread, on an old kernel, in pieces, both ways at once, over IPv6, before the listener is
 * there, and the counters. */
#include "net_pair.h"

#include <fcntl.h>
#include <sys/resource.h>

#include "base/clock.h"

struct variant {
    const char *name;
    enum net_transport transport;
    bool thread, old_kernel;
    int transfer_max, socket_buffer;
    enum net_zc zc;
};

static const struct variant variants[] = {
    {"poll", NET_POLL, false, false, 0, 0, NET_ZC_AUTO},
    {"poll thread", NET_POLL, true, false, 0, 0, NET_ZC_AUTO},
    {"uring", NET_URING, false, false, 0, 0, NET_ZC_AUTO},
    {"uring thread", NET_URING, true, false, 0, 0, NET_ZC_AUTO},
    {"uring of 5.10", NET_URING, false, true, 0, 0, NET_ZC_AUTO},
    {"uring of 5.10 thread", NET_URING, true, true, 0, 0, NET_ZC_AUTO},
    {"poll in pieces", NET_POLL, false, false, 1777, 0, NET_ZC_AUTO},
    {"uring in pieces", NET_URING, false, false, 1777, 0, NET_ZC_AUTO},
    {"poll tiny buffers", NET_POLL, false, false, 0, 4096, NET_ZC_AUTO},
    {"uring tiny buffers", NET_URING, false, true, 0, 4096, NET_ZC_AUTO},
    {"uring zero-copy", NET_URING, false, false, 0, 0, NET_ZC_ALWAYS},
    {"uring zero-copy thread", NET_URING, true, false, 0, 0, NET_ZC_ALWAYS},
};
enum { NVARIANT = sizeof(variants) / sizeof(variants[0]) };

/* The next variant that this machine can run, from v on. */
static int next(int v)
{
    while (v < NVARIANT && !pair_can(variants[v].transport))
        v++;
    return v;
}

static struct net_options options(const struct variant *v)
{
    struct net_options opt = net_options_default();
    opt.transport = v->transport;
    opt.thread = v->thread;
    opt.old_kernel = v->old_kernel;
    opt.transfer_max = v->transfer_max;
    opt.socket_buffer = v->socket_buffer;
    opt.send_zc = v->zc;
    opt.retry_ms = 100;
    return opt;
}

static void fill(float *p, int n, uint64_t key)
{
    for (int i = 0; i < n; i++)
        p[i] = (float)((i * 2654435761u + key * 40503u) % 100003u);
}

struct link {
    struct net *net;
    struct channel *c;
    struct channel_rings rings;
};

/* On its way: the channel connects. */
static void link_begin(struct link *l, const struct net_options *opt,
                       const struct pair_shape *shape, const struct hello *h, const char *host,
                       int port)
{
    assert_int_equal(net_open(&l->net, opt), 0);
    l->rings = pair_rings(shape, false);
    assert_int_equal(channel_connect(&l->c, l->net, host, port, h, &l->rings), 0);
}

static void link_wait(struct link *l)
{
    if (channel_wait_open(l->c, 20000) < 0)
        fail_msg("%s", err_text());
    assert_string_equal(channel_answer(l->c)->node, "server");
}

static void link_open(struct link *l, const struct net_options *opt, const struct pair_shape *shape,
                      const char *host, int port)
{
    struct hello h = pair_hello(shape);

    link_begin(l, opt, shape, &h, host, port);
    link_wait(l);
}

/* Without a word of an end. */
static void link_drop(struct link *l)
{
    channel_close(l->c);
    net_close(l->net);
    pair_rings_free(&l->rings);
}

static void link_close(struct link *l)
{
    channel_end(l->c);
    link_drop(l);
}

static void send_one(struct link *l, int n, int row)
{
    struct wire_head *h;
    int32_t *labels;
    uint64_t seq;

    if (channel_wait_slot(l->c, 20000) < 0)
        fail_msg("%s", err_text());
    seq = channel_tx_next(l->c);
    h = channel_tx_head(l->c);
    pair_fill_head(h, WIRE_ACTIVATION, n, row);
    h->first_sample = seq * 100;
    h->aux_bytes = (uint32_t)n * 4;
    labels = channel_tx_aux(l->c, h->aux_bytes);
    for (int i = 0; i < n; i++)
        labels[i] = i % PAIR_CLASSES;
    fill(channel_tx_payload(l->c), n * row, seq);
    channel_publish(l->c);
}

static void receive_one(struct link *l, uint64_t seq, int n, int row, float *want)
{
    const struct wire_head *h;

    if (channel_wait_frame(l->c, seq, 20000) < 0)
        fail_msg("frame %llu: %s", (unsigned long long)seq, err_text());
    h = channel_head(l->c, seq);
    assert_int_equal(h->type, WIRE_GRADIENT);
    assert_int_equal(h->seq, seq);
    assert_true(h->loss == 2.0 * (double)(seq * 100));
    assert_int_equal(h->payload_bytes, (size_t)n * (size_t)row * 4);
    fill(want, n * row, seq);
    assert_memory_equal(channel_payload(l->c, seq), want, (size_t)n * (size_t)row * 4);
    channel_release(l->c);
}

/* One frame there and back for each size; then as many as there are slots in flight both ways. */
static void run_sizes(const struct variant *v, const int sizes[], int nsize, int many)
{
    struct net_options opt = options(v);

    for (int i = 0; i < nsize; i++) {
        struct pair_server server = {.opt = opt};
        struct link l;
        int slots = many < PAIR_SLOTS ? many : PAIR_SLOTS;
        int n = sizes[i] ? 2 : 0, row = sizes[i] ? sizes[i] : 1;
        float *want = malloc((size_t)(n * row) * 4 + 1);

        server.shape = (struct pair_shape){2, row, slots};
        pair_server_start(&server, "127.0.0.1");
        link_open(&l, &opt, &server.shape, "127.0.0.1", server.port);
        for (int k = 0; k < many + slots - 1; k++) {
            if (k < many)
                send_one(&l, n, row);
            if (k >= slots - 1)
                receive_one(&l, (uint64_t)(k - slots + 1), n, row, want);
        }
        assert_int_equal(channel_counters(l.c).frames_received, many);
        assert_int_equal(channel_counters(l.c).frames_sent, many);
        if (v->zc == NET_ZC_ALWAYS && n * row * 4 >= 65536)
            assert_true(channel_counters(l.c).zc_sent > 0);
        if (v->transfer_max && row > v->transfer_max)
            assert_true(channel_counters(l.c).short_sends > 0 &&
                        channel_counters(l.c).short_receives > 0);
        link_close(&l);
        pair_server_stop(&server);
        if (server.served != 1)
            fail_msg("%s, %d floats: the server says %s", v->name, row, server.last_text);
        free(want);
    }
}

static void test_small_sizes(void **state)
{
    static const int sizes[] = {0, 1, 511, 512, 513, 8192}; /* two samples: floats / 2 */

    for (int v = next(0); v < NVARIANT; v = next(v + 1))
        run_sizes(&variants[v], sizes, sizeof(sizes) / sizeof(sizes[0]), 9);
}

/* Frames of 12 MiB: more than sockets hold at first, and than may be locked in memory by default,
 * which zero-copy sends count against. */
static void test_large_sizes(void **state)
{
    static const int size = 3 << 19, through_tiny = 1 << 15;

    for (int v = next(0); v < NVARIANT; v = next(v + 1))
        if (variants[v].socket_buffer)
            run_sizes(&variants[v], &through_tiny, 1, 2);
        else if (!variants[v].transfer_max)
            run_sizes(&variants[v], &size, 1, 2);
}

static void test_many_both_ways(void **state)
{
    static const int sizes[] = {33};

    for (int v = next(0); v < 6; v = next(v + 1))
        run_sizes(&variants[v], sizes, 1, 2000);
}

/* One way alone: the receiver's ring runs full, and only its releases move the stream on. */
static void test_one_way(void **state)
{
    for (int v = next(0); v < NVARIANT; v = next(v + 1)) {
        struct net_options opt = options(&variants[v]);
        struct pair_server server = {.opt = opt, .shape = {2, 1000, PAIR_SLOTS}, .mute = true};
        struct link l;

        pair_server_start(&server, "127.0.0.1");
        link_open(&l, &opt, &server.shape, "127.0.0.1", server.port);
        for (int i = 0; i < 40; i++)
            send_one(&l, 2, 1000);
        link_close(&l);
        pair_server_stop(&server);
        assert_int_equal(server.served, 1);
        assert_int_equal(server.counters.frames_received, 40);
    }
}

static void test_ipv6_and_names(void **state)
{
    const char *const where[][2] = {
        {"::1", "::1"}, {"127.0.0.1", "localhost"}, {"::", "127.0.0.1"}};

    for (int i = 0; i < 3; i++)
        for (int v = next(0); v < 4; v = next(v + 1)) {
            struct net_options opt = options(&variants[v]);
            struct pair_server server = {.opt = opt, .shape = {2, 100, PAIR_SLOTS}};
            struct link l;
            float want[200];

            pair_server_start(&server, where[i][0]);
            link_open(&l, &opt, &server.shape, where[i][1], server.port);
            send_one(&l, 2, 100);
            receive_one(&l, 0, 2, 100, want);
            link_close(&l);
            pair_server_stop(&server);
            assert_int_equal(server.served, 1);
        }
}

/* The side that connects comes first, is told nothing but to wait, and then finds its neighbour. */
static void test_listener_comes_later(void **state)
{
    for (int v = next(0); v < 4; v = next(v + 1)) {
        struct net_options opt = options(&variants[v]);
        struct pair_server server = {.opt = opt, .shape = {2, 100, PAIR_SLOTS}},
                           probe = {.opt = opt};
        struct hello h = pair_hello(&server.shape);
        struct link l;
        float want[200];

        assert_int_equal(net_open(&probe.net, &opt), 0); /* a port that is free */
        assert_int_equal(net_listen(probe.net, "127.0.0.1", 0), 0);
        server.port = net_port(probe.net);
        net_close(probe.net);

        link_begin(&l, &opt, &server.shape, &h, "127.0.0.1", server.port);
        assert_int_equal(channel_wait_open(l.c, 350), -ETIMEDOUT);
        assert_int_equal(channel_state(l.c), CHANNEL_CONNECTING);
        pair_server_start(&server, "127.0.0.1");
        link_wait(&l);
        send_one(&l, 2, 100);
        receive_one(&l, 0, 2, 100, want);
        link_close(&l);
        pair_server_stop(&server);
        assert_int_equal(server.served, 1);
    }
}

/* Each side says what does not fit, and the server goes on with the next. */
static void test_refusal(void **state)
{
    for (int v = next(0); v < 4; v = next(v + 1)) {
        struct net_options opt = options(&variants[v]);
        struct pair_server server = {.opt = opt, .shape = {2, 100, PAIR_SLOTS}};
        struct hello h = pair_hello(&server.shape);
        struct link l;

        pair_server_start(&server, "127.0.0.1");
        h.layer_to = 2;
        link_begin(&l, &opt, &server.shape, &h, "127.0.0.1", server.port);
        assert_int_equal(channel_wait_open(l.c, 20000), -ECONNREFUSED);
        if (!strstr(err_text(), "upstream ends at layer 2, this node begins at 3"))
            fail_msg("%s", err_text());
        assert_int_equal(channel_error(l.c), -ECONNREFUSED);
        link_drop(&l);

        link_open(&l, &opt, &server.shape, "127.0.0.1", server.port);
        link_close(&l);
        pair_server_stop(&server);
        assert_int_equal(server.refused, 1);
        assert_int_equal(server.served, 1);
    }
}

/* The sentence of one side reaches the other. */
static void test_fail_is_told(void **state)
{
    for (int v = next(0); v < 4; v = next(v + 1)) {
        struct net_options opt = options(&variants[v]);
        struct pair_server server = {.opt = opt, .shape = {2, 100, PAIR_SLOTS}};
        struct link l;

        pair_server_start(&server, "127.0.0.1");
        link_open(&l, &opt, &server.shape, "127.0.0.1", server.port);
        channel_fail(l.c, "the loss is not a number");
        assert_int_equal(channel_wait_frame(l.c, 0, 20000), -ECANCELED);
        link_drop(&l);

        link_open(&l, &opt, &server.shape, "127.0.0.1", server.port);
        link_close(&l);
        pair_server_stop(&server);
        assert_int_equal(server.served, 1);
        assert_int_equal(server.last_error, -ECONNABORTED);
        if (!strstr(server.last_text, "the loss is not a number"))
            fail_msg("%s", server.last_text);
    }
}

static void *stop_soon(void *arg)
{
    usleep(50000);
    net_stop(arg);
    return NULL;
}

static void test_stop_ends_every_wait(void **state)
{
    for (int v = next(0); v < 4; v = next(v + 1)) {
        struct net_options opt = options(&variants[v]);
        struct pair_shape shape = {2, 100, PAIR_SLOTS};
        struct hello h = pair_hello(&shape);
        struct link l;
        pthread_t t;
        uint64_t start = clock_now_ns();

        opt.retry_ms = 60000;
        assert_int_equal(net_open(&l.net, &opt), 0);
        l.rings = pair_rings(&shape, false);
        pthread_create(&t, NULL, stop_soon, l.net);
        assert_int_equal(channel_connect(&l.c, l.net, "127.0.0.1", 1, &h, &l.rings), 0);
        assert_int_equal(channel_wait_open(l.c, -1), -EINTR);
        assert_int_equal(net_wait(l.net, -1), -EINTR);
        pthread_join(t, NULL);
        link_drop(&l);
        assert_true(clock_seconds_since(start) < 10);
    }
}

/* A net that is closed with everything still going on leaves nothing behind. Sockets hold an eighth
 * of a frame, so that some are on their way. */
static void test_close_in_the_middle(void **state)
{
    for (int v = next(0); v < NVARIANT; v = next(v + 1)) {
        struct net_options opt = options(&variants[v]);
        struct pair_server server = {.shape = {2, 1 << 16, PAIR_SLOTS}};
        struct link l;

        if (!opt.socket_buffer)
            opt.socket_buffer = 1 << 16;
        server.opt = opt;
        pair_server_start(&server, "127.0.0.1");
        link_open(&l, &opt, &server.shape, "127.0.0.1", server.port);
        for (int i = 0; i < 3; i++)
            send_one(&l, 2, 1 << 16);
        net_close(l.net);
        pair_rings_free(&l.rings);
        link_open(&l, &opt, &server.shape, "127.0.0.1", server.port);
        link_close(&l);
        pair_server_stop(&server);
        assert_int_equal(server.served, 1);
        assert_true(server.last_error < 0);
    }
}

static void test_port_in_use(void **state)
{
    struct net_options opt = options(&variants[0]);
    struct net *a, *b;

    assert_int_equal(net_open(&a, &opt), 0);
    assert_int_equal(net_open(&b, &opt), 0);
    assert_int_equal(net_listen(a, "127.0.0.1", 0), 0);
    assert_int_equal(net_listen(b, "127.0.0.1", net_port(a)), -EADDRINUSE);
    assert_non_null(strstr(err_text(), "is another node running"));
    net_close(a);
    net_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_port_in_use),
        cmocka_unit_test(test_small_sizes),
        cmocka_unit_test(test_large_sizes),
        cmocka_unit_test(test_many_both_ways),
        cmocka_unit_test(test_one_way),
        cmocka_unit_test(test_ipv6_and_names),
        cmocka_unit_test(test_listener_comes_later),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_fail_is_told),
        cmocka_unit_test(test_stop_ends_every_wait),
        cmocka_unit_test(test_close_in_the_middle),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
