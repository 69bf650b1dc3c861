/*
 * A hostile network, against a listening node and against a connecting one, with both transports
 * and with and without a loop thread: bad heads, random bytes, a peer that is gone after every
 * number of bytes that matters, one that stalls, many at once, bytes one by one. What misbehaves
 * ends with one sentence within a bounded time, and the next peer is served.
 */
#include "net_pair.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/rng.h"

enum { N = 2, ROW = 8, BODY = 64 + N * ROW * 4, FRAME = 128 + BODY };

static const struct {
    enum net_transport transport;
    bool thread;
} variants[] = {{NET_POLL, false}, {NET_POLL, true}, {NET_URING, false}, {NET_URING, true}};
enum { NVARIANT = 4 };

/* The next variant that this machine can run, from v on. */
static int next(int v)
{
    while (v < NVARIANT && !pair_can(variants[v].transport))
        v++;
    return v;
}

static struct net_options options(int v)
{
    struct net_options opt = net_options_default();
    opt.transport = variants[v].transport;
    opt.thread = variants[v].thread;
    opt.retry_ms = 100;
    opt.hello_ms = 500;
    opt.stall_ms = 400;
    opt.drain_ms = 1000;
    return opt;
}

/* A socket that does as it pleases. */
static int raw_connect(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {20, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void reset(int fd)
{
    struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

static ssize_t raw_send(int fd, const void *p, size_t n)
{
    return send(fd, p, n, MSG_NOSIGNAL);
}

/* All n bytes? An io_uring that is being torn down interrupts a receive that has a timeout. */
static bool raw_take(int fd, char *buf, size_t n)
{
    ssize_t r = 0;

    for (size_t at = 0; at<n; at += r> 0 ? (size_t)r : 0) {
        r = recv(fd, buf + at, n - at, MSG_WAITALL);
        if (r == 0 || (r < 0 && errno != EINTR))
            return false;
    }
    return true;
}

/* One frame into buf (1024 bytes), whole. Its type, or -1 at the end of the connection. */
static int raw_receive(int fd, char *buf)
{
    struct wire_head h;

    if (!raw_take(fd, buf, sizeof(h)))
        return -1;
    memcpy(&h, buf, sizeof(h));
    size_t body = wire_aux_padded(h.aux_bytes) + h.payload_bytes;
    assert_true(body <= 1024 - sizeof(h));
    if (!raw_take(fd, buf + sizeof(h), body))
        return -1;
    return h.type;
}

static size_t make_hello(char *out)
{
    struct hello h = pair_hello(&(struct pair_shape){N, ROW, PAIR_SLOTS});
    struct wire_head head;

    wire_head_init(&head, WIRE_HELLO, 0);
    head.aux_bytes = HELLO_WIRE_BYTES;
    memcpy(out, &head, sizeof(head));
    hello_encode(&h, out + sizeof(head));
    return sizeof(head) + HELLO_WIRE_BYTES;
}

/* ACTIVATION number seq, good in every respect. */
static void make_frame(char *out, uint64_t seq)
{
    struct wire_head head;
    int32_t labels[N] = {1, 9};

    memset(out, 0, FRAME);
    pair_fill_head(&head, WIRE_ACTIVATION, N, ROW);
    head.seq = seq;
    head.aux_bytes = sizeof(labels);
    memcpy(out, &head, sizeof(head));
    memcpy(out + sizeof(head), labels, sizeof(labels));
}

static int raw_greeted(int port)
{
    char buf[1024];
    int fd = raw_connect(port);
    size_t n = make_hello(buf);

    assert_int_equal(raw_send(fd, buf, n), n);
    assert_int_equal(raw_receive(fd, buf), WIRE_ANSWER);
    assert_int_equal(buf[sizeof(struct wire_head)], ANSWER_ACCEPT);
    return fd;
}

static int open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* A good neighbour: one frame there and back, a clean end. Bounded by its own waits. */
static void good_neighbour(int port, struct net_options opt)
{
    struct pair_shape shape = {N, ROW, PAIR_SLOTS};
    struct hello h = pair_hello(&shape);
    struct channel_rings rings = pair_rings(&shape, false);
    struct net *n;
    struct channel *c;
    struct wire_head *head;
    int32_t *labels;

    opt.stall_ms = opt.drain_ms = 20000;
    assert_int_equal(net_open(&n, &opt), 0);
    assert_int_equal(channel_connect(&c, n, "127.0.0.1", port, &h, &rings), 0);
    if (channel_wait_open(c, 30000) < 0 || channel_wait_slot(c, 30000) < 0)
        fail_msg("a good neighbour was not served: %s", err_text());
    head = channel_tx_head(c);
    pair_fill_head(head, WIRE_ACTIVATION, N, ROW);
    head->aux_bytes = N * 4;
    labels = channel_tx_aux(c, N * 4);
    labels[0] = labels[1] = 0;
    channel_publish(c);
    if (channel_wait_frame(c, 0, 30000) < 0)
        fail_msg("a good neighbour got no answer: %s", err_text());
    channel_release(c);
    channel_end(c);
    channel_close(c);
    net_close(n);
    pair_rings_free(&rings);
}

struct scene {
    struct pair_server server;
    int files;
};

static void scene_open(struct scene *s, int v)
{
    *s = (struct scene){.server = {.opt = options(v), .shape = {N, ROW, PAIR_SLOTS}},
                        .files = open_files()};
    pair_server_start(&s->server, "127.0.0.1");
}

/* Serves a good neighbour after all that, and nothing is left open. */
static void scene_close(struct scene *s)
{
    good_neighbour(s->server.port, s->server.opt);
    pair_server_stop(&s->server);
    assert_true(s->server.served >= 1);
    assert_int_equal(open_files(), s->files);
}

static void expect_sentence(const char *text, const char *why)
{
    if (!strstr(text, why))
        fail_msg("wanted \"%s\" in \"%s\"", why, text);
}

/* Both sides get the sentence: the peer as an ERROR frame, the node as its stream's error. */
static void test_bad_frames(void **state)
{
    const struct {
        size_t offset, bytes;
        uint64_t value;
        const char *why;
    } rows[] = {
        {offsetof(struct wire_head, magic), 4, 0x0d0a0d0a, "not a frame of this protocol"},
        {offsetof(struct wire_head, version), 2, 9, "protocol version 9"},
        {offsetof(struct wire_head, type), 1, 77, "unknown type 77"},
        {offsetof(struct wire_head, type), 1, WIRE_HELLO, "HELLO frame in the middle"},
        {offsetof(struct wire_head, type), 1, WIRE_PREDICTION, "none of them in this direction"},
        {offsetof(struct wire_head, seq), 8, 1, "number 1, wanted 0"},
        {offsetof(struct wire_head, payload_bytes), 8, 1ull << 60, "its shape and type make 64"},
        {offsetof(struct wire_head, dim), 4, N + 1, "agreed on (2, 8)"},
        {offsetof(struct wire_head, dim) + 4, 4, ROW + 1, "agreed on (2, 8)"},
        {offsetof(struct wire_head, aux_bytes), 4, UINT32_MAX, "bytes of labels, wanted 8"},
        {offsetof(struct wire_head, micro), 4, 5, "micro-batch 5 of 1"},
        {sizeof(struct wire_head), 4, 10, "label 0 of the batch is 10, wanted 0 to 9"},
        {sizeof(struct wire_head) + 4, 4, UINT32_MAX, "label 1 of the batch is -1"},
    };

    for (int v = next(0); v < NVARIANT; v = next(v + 1)) {
        struct scene s;
        char frame[FRAME], buf[1024];

        scene_open(&s, v);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            int fd = raw_greeted(s.server.port);
            make_frame(frame, 0);
            memcpy(frame + rows[i].offset, &rows[i].value, rows[i].bytes);
            raw_send(fd, frame, FRAME);
            assert_int_equal(raw_receive(fd, buf), WIRE_ERROR);
            expect_sentence(buf + sizeof(struct wire_head), rows[i].why);
            assert_int_equal(raw_receive(fd, buf), -1);
            close(fd);
        }
        scene_close(&s);
        assert_int_equal(s.server.last_error, -EPROTO);
        expect_sentence(s.server.last_text, "label 1 of the batch is -1");
    }
}

/* Before the hello is believed: refused with a sentence, or just left. */
static void test_bad_hellos(void **state)
{
    const struct {
        size_t offset, bytes;
        uint64_t value;
        const char *why;
    } rows[] = {
        {offsetof(struct wire_head, magic), 4, 0x20544547, "not a frame of this protocol"},
        {offsetof(struct wire_head, version), 2, 2, "peer speaks protocol version 2, this node 1"},
        {offsetof(struct wire_head, type), 1, WIRE_ACTIVATION, "ACTIVATION frame, wanted HELLO"},
        {offsetof(struct wire_head, aux_bytes), 4, 1u << 31, "HELLO of 2147483648 bytes"},
        {offsetof(struct wire_head, payload_bytes), 8, 1ull << 40, "with a payload"},
        {sizeof(struct wire_head) + 48, 4, 0, "batch size 0"},
        {sizeof(struct wire_head) + 44, 4, 2, "upstream ends at layer 2, this node begins at 3"},
    };

    for (int v = next(0); v < NVARIANT; v = next(v + 1)) {
        struct scene s;
        char hello[1024], buf[1024];

        scene_open(&s, v);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            int fd = raw_connect(s.server.port);
            size_t n = make_hello(hello);
            memcpy(hello + rows[i].offset, &rows[i].value, rows[i].bytes);
            raw_send(fd, hello, n);
            assert_int_equal(raw_receive(fd, buf), WIRE_ANSWER);
            assert_int_equal(buf[sizeof(struct wire_head)], ANSWER_REFUSE);
            expect_sentence(buf + sizeof(struct wire_head) + 24 + 64, rows[i].why);
            close(fd);
        }
        scene_close(&s);
        assert_int_equal(s.server.refused, 1);
    }
}

static void test_random_bytes(void **state)
{
    for (int v = next(0); v < NVARIANT; v = next(v + 1)) {
        struct scene s;
        char buf[2048];

        scene_open(&s, v);
        for (uint32_t round = 0; round < 60; round++) {
            struct rng r = rng_make(99, RNG_TEST, (uint32_t)v, round);
            size_t n = rng_word(&r, 5000) % sizeof(buf) + 1, head = 0;
            int fd = round % 3 ? raw_connect(s.server.port) : raw_greeted(s.server.port);

            for (size_t i = 0; i < n; i++)
                buf[i] = (char)rng_word(&r, i);
            if (round % 2) { /* a good beginning, then rubbish */
                head = 6;
                memcpy(buf, "SPEN\1\0", head);
            }
            raw_send(fd, buf, n);
            if (round % 4 == 1)
                reset(fd);
            else
                close(fd);
        }
        scene_close(&s);
    }
}

/* Gone after so many bytes of hello, of a frame, of the second frame; by FIN and by RST. */
static void test_gone_at_every_position(void **state)
{
    static const size_t at[] = {0,   1,   4,   64,  127, 128, 129, 191, 192,
                                193, 200, 255, 256, 300, 447, 448, 500};

    for (int v = next(0); v < NVARIANT; v = next(v + 1)) {
        struct scene s;
        char hello[1024], frames[3 * FRAME];
        size_t hello_bytes = make_hello(hello);

        scene_open(&s, v);
        for (int k = 0; k < 3; k++)
            make_frame(frames + k * FRAME, (uint64_t)k);
        for (size_t i = 0; i < 2 * sizeof(at) / sizeof(at[0]); i++) {
            size_t bytes = at[i / 2];
            int fd = raw_connect(s.server.port);
            raw_send(fd, hello, bytes < hello_bytes ? bytes : hello_bytes);
            i % 2 ? reset(fd) : (void)close(fd);

            fd = raw_greeted(s.server.port);
            raw_send(fd, frames, bytes);
            i % 2 ? reset(fd) : (void)close(fd);
        }
        scene_close(&s);
        assert_int_equal(s.server.refused, 0);
        assert_true(s.server.last_error < 0);
    }
}

/* One byte each time: all of hello and two frames are understood. */
static void test_one_byte_pieces(void **state)
{
    for (int v = next(0); v < NVARIANT; v = next(v + 1)) {
        struct scene s;
        char out[1024], buf[1024];
        size_t n;
        int fd;

        scene_open(&s, v);
        fd = raw_connect(s.server.port);
        n = make_hello(out);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(raw_send(fd, out + i, 1), 1);
        assert_int_equal(raw_receive(fd, buf), WIRE_ANSWER);
        for (uint64_t k = 0; k < 2; k++) {
            make_frame(out, k);
            for (size_t i = 0; i < FRAME; i++)
                assert_int_equal(raw_send(fd, out + i, 1), 1);
            assert_int_equal(raw_receive(fd, buf), WIRE_GRADIENT);
        }
        close(fd);
        scene_close(&s);
        expect_sentence(s.server.last_text, "without a clean end");
    }
}

/* In the middle of a head, of a body: nothing more, but the connection stays. */
static void test_stall(void **state)
{
    static const size_t at[] = {10, 128, 128 + BODY - 1};

    for (int v = next(0); v < NVARIANT; v = next(v + 1))
        for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
            struct scene s;
            char frame[FRAME], buf[1024];
            uint64_t start;
            int fd;

            scene_open(&s, v);
            fd = raw_greeted(s.server.port);
            make_frame(frame, 0);
            raw_send(fd, frame, at[i]);
            start = clock_now_ns();
            assert_int_equal(raw_receive(fd, buf), WIRE_ERROR);
            assert_true(clock_seconds_since(start) < 10); /* stall_ms is 0.4 s; the rest is noise */
            assert_true(clock_seconds_since(start) > 0.3);
            expect_sentence(buf + sizeof(struct wire_head), "no byte moved");
            close(fd);
            scene_close(&s);
            assert_int_equal(s.server.last_error, -ETIMEDOUT);
        }
}

/* A hello that never ends takes its place for hello_ms, however busily it drips. */
static void test_slow_loris(void **state)
{
    for (int v = next(0); v < NVARIANT; v = next(v + 1)) {
        struct scene s;
        char hello[1024];
        uint64_t start = clock_now_ns();
        size_t sent = 0;
        int fd;

        scene_open(&s, v);
        make_hello(hello);
        fd = raw_connect(s.server.port);
        while (raw_send(fd, hello + sent, 1) == 1 && clock_seconds_since(start) < 20) {
            sent++;
            usleep(20000);
        }
        assert_true(clock_seconds_since(start) < 15);
        close(fd);
        scene_close(&s);
    }
}

/* 100 strangers who say nothing, while a good neighbour wants to be served. */
static void test_a_hundred_at_once(void **state)
{
    for (int v = next(0); v < NVARIANT; v = next(v + 1)) {
        struct scene s;
        int fd[100];

        scene_open(&s, v);
        for (int i = 0; i < 100; i++) {
            fd[i] = raw_connect(s.server.port);
            raw_send(fd[i], "SPEN\1", (size_t)(i % 6));
        }
        good_neighbour(s.server.port, s.server.opt);
        for (int i = 0; i < 100; i++)
            close(fd[i]);
        scene_close(&s);
        assert_int_equal(s.server.served, 2);
    }
}

/* Against the side that connects: a listener of our own that answers as the row says. */
struct villain {
    int listener, port;
    char bytes[2048];
    size_t count;
    bool rst, stays;
};

static void *villain_thread(void *arg)
{
    struct villain *w = arg;
    char hello[1024];
    int fd = accept(w->listener, NULL, NULL);

    if (raw_receive(fd, hello) == WIRE_HELLO)
        raw_send(fd, w->bytes, w->count);
    if (w->rst) {
        usleep(50000);
        reset(fd);
    } else {
        if (!w->stays)
            shutdown(fd, SHUT_WR);
        while (recv(fd, hello, sizeof(hello), 0) > 0)
            continue;
        close(fd);
    }
    return NULL;
}

static void villain_listen(struct villain *w)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(a);

    w->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(w->listener, 8), 0);
    assert_int_equal(getsockname(w->listener, (struct sockaddr *)&a, &n), 0);
    w->port = ntohs(a.sin_port);
}

static void say_answer(struct villain *w, enum answer_verdict verdict, const char *sentence)
{
    struct answer a = {.verdict = verdict, .layer_from = 3, .layer_to = 6};
    struct wire_head h;

    snprintf(a.sentence, sizeof(a.sentence), "%s", sentence);
    wire_head_init(&h, WIRE_ANSWER, 0);
    h.aux_bytes = ANSWER_WIRE_BYTES;
    memcpy(w->bytes + w->count, &h, sizeof(h));
    answer_encode(&a, w->bytes + w->count + sizeof(h));
    w->count += sizeof(h) + ANSWER_WIRE_BYTES;
}

static void say_gradient(struct villain *w, uint64_t seq, int row, size_t bytes)
{
    struct wire_head h;

    pair_fill_head(&h, WIRE_GRADIENT, N, row);
    h.seq = seq;
    memcpy(w->bytes + w->count, &h, sizeof(h));
    w->count += bytes;
}

static void villain_case(int v, struct villain *w, int frames_before, int error, const char *why)
{
    struct pair_shape shape = {N, ROW, PAIR_SLOTS};
    struct net_options opt = options(v);
    struct hello h = pair_hello(&shape);
    struct channel_rings rings = pair_rings(&shape, false);
    struct channel *c;
    struct net *n;
    pthread_t t;
    int r, files = open_files();

    villain_listen(w);
    assert_int_equal(pthread_create(&t, NULL, villain_thread, w), 0);
    assert_int_equal(net_open(&n, &opt), 0);
    assert_int_equal(channel_connect(&c, n, "127.0.0.1", w->port, &h, &rings), 0);
    r = channel_wait_open(c, 20000);
    for (int i = 0; r == 0 && i <= frames_before; i++)
        r = channel_wait_frame(c, (uint64_t)i, 20000);
    if (r != error)
        fail_msg("%d instead of %d: %s", r, error, err_text());
    expect_sentence(err_text(), why);
    channel_close(c);
    net_close(n);
    pthread_join(t, NULL);
    close(w->listener);
    pair_rings_free(&rings);
    assert_int_equal(open_files(), files);
}

static void test_villains_that_listen(void **state)
{
    for (int v = next(0); v < NVARIANT; v = next(v + 1)) {
        struct villain w = {0};

        say_answer(&w, ANSWER_REFUSE, "go\naway");
        villain_case(v, &w, 0, -ECONNREFUSED, "refused: go?away");

        w = (struct villain){.count = 300, .bytes = "HTTP/1.1 400 Bad Request\r\n"};
        villain_case(v, &w, 0, -EPROTO, "not a frame of this protocol");

        w = (struct villain){0};
        say_answer(&w, ANSWER_ACCEPT, "");
        say_gradient(&w, 1, ROW, FRAME);
        villain_case(v, &w, 0, -EPROTO, "number 1, wanted 0");

        w = (struct villain){0};
        say_answer(&w, ANSWER_ACCEPT, "");
        say_gradient(&w, 0, ROW + 1, FRAME);
        villain_case(v, &w, 0, -EPROTO, "agreed on (2, 8)");

        w = (struct villain){0};
        say_answer(&w, ANSWER_ACCEPT, "");
        say_gradient(&w, 0, ROW, 128 + N * ROW * 4);
        say_gradient(&w, 1, ROW, 128 + 5);
        villain_case(v, &w, 1, -ECONNRESET, "after 5 of 64 bytes of the body of frame 1");

        w = (struct villain){.rst = true};
        say_answer(&w, ANSWER_ACCEPT, "");
        villain_case(v, &w, 0, -ECONNRESET, "lost");
    }
}

/* A neighbour that dies before it has answered may be there again later. */
static void test_answer_cut_short_is_retried(void **state)
{
    for (int v = next(0); v < NVARIANT; v = next(v + 1)) {
        struct pair_shape shape = {N, ROW, PAIR_SLOTS};
        struct net_options opt = options(v);
        struct hello h = pair_hello(&shape);
        struct channel_rings rings = pair_rings(&shape, false);
        struct villain w = {0};
        struct channel *c;
        struct net *n;
        pthread_t t;

        villain_listen(&w);
        say_answer(&w, ANSWER_ACCEPT, "");
        w.count = 200;
        assert_int_equal(pthread_create(&t, NULL, villain_thread, &w), 0);
        assert_int_equal(net_open(&n, &opt), 0);
        assert_int_equal(channel_connect(&c, n, "127.0.0.1", w.port, &h, &rings), 0);
        assert_int_equal(channel_wait_open(c, 50), -ETIMEDOUT);
        pthread_join(t, NULL);
        w.count = 128 + ANSWER_WIRE_BYTES;
        w.stays = true;
        assert_int_equal(pthread_create(&t, NULL, villain_thread, &w), 0);
        if (channel_wait_open(c, 20000) < 0)
            fail_msg("%s", err_text());
        channel_close(c);
        pthread_join(t, NULL);
        net_close(n);
        close(w.listener);
        pair_rings_free(&rings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_frames),
        cmocka_unit_test(test_bad_hellos),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_gone_at_every_position),
        cmocka_unit_test(test_one_byte_pieces),
        cmocka_unit_test(test_stall),
        cmocka_unit_test(test_slow_loris),
        cmocka_unit_test(test_a_hundred_at_once),
        cmocka_unit_test(test_villains_that_listen),
        cmocka_unit_test(test_answer_cut_short_is_retried),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
