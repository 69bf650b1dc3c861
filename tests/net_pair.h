/*
 * For tests of net/: memory for rings, a hello that fits, and an echo server in a thread of its own
 * with its own net, which sends every ACTIVATION back as the GRADIENT of the same number.
 */
#ifndef TESTS_NET_PAIR_H
#define TESTS_NET_PAIR_H

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "net/net.h"

/* False, and said once, where this machine refuses io_uring: its variants are left out. */
static inline bool pair_can(enum net_transport transport)
{
    static int refused = -1;
    struct net_options opt = net_options_default();
    struct net *n;

    if (transport != NET_URING)
        return true;
    if (refused < 0) {
        opt.transport = NET_URING;
        refused = net_open(&n, &opt) < 0;
        if (refused)
            print_message("io_uring's variants are left out: %s\n", err_text());
        else
            net_close(n);
    }
    return !refused;
}

enum { PAIR_SLOTS = 4, PAIR_CLASSES = 10 };

/* Frames of n_max samples of `row` floats each, in rings of so many slots. */
struct pair_shape {
    int n_max, row, slots;
};

static inline struct frame_memory pair_memory(int slots, size_t aux_max, size_t payload_max)
{
    struct frame_memory m = {.nslot = slots, .aux_max = aux_max, .payload_max = payload_max};
    m.base = aligned_alloc(FRAME_PAGE, frame_memory_bytes(m.nslot, aux_max, payload_max));
    assert_non_null(m.base);
    memset(m.base, 0xa5, frame_memory_bytes(m.nslot, aux_max, payload_max));
    return m;
}

/* rx of the side that takes activations (up) or gradients. */
static inline struct channel_rings pair_rings(const struct pair_shape *s, bool up)
{
    size_t payload = (size_t)s->n_max * (size_t)s->row * 4, labels = (size_t)s->n_max * 4;
    struct channel_rings r = {.tx = pair_memory(s->slots, up ? 0 : labels, payload),
                              .rx = pair_memory(s->slots, up ? labels : 0, payload)};
    r.expect = (struct wire_expect){
        .types = up ? 1u << WIRE_ACTIVATION : 1u << WIRE_GRADIENT | 1u << WIRE_LOSS,
        .dtype = WIRE_F32,
        .ndim = 2,
        .dim = {(uint32_t)s->n_max, (uint32_t)s->row},
        .label_classes = up ? PAIR_CLASSES : 0,
    };
    return r;
}

static inline void pair_rings_free(struct channel_rings *r)
{
    free(r->tx.base);
    free(r->rx.base);
}

static inline struct hello pair_hello(const struct pair_shape *s)
{
    struct hello h = {
        .mode = HELLO_TRAIN,
        .model = "small",
        .model_hash = 0x1234,
        .layer_from = 0,
        .layer_to = 3,
        .batch = (uint32_t)s->n_max,
        .micro_batches = 1,
        .in_flight = 1,
        .dtype = WIRE_F32,
        .ndim = 2,
        .dim = {(uint32_t)s->n_max, (uint32_t)s->row},
        .want_gradient = true,
        .classes = PAIR_CLASSES,
        .seed = 1,
        .node = "client",
    };
    return h;
}

static inline struct hello_want pair_want(void)
{
    struct hello_want w = {.mode = HELLO_TRAIN,
                           .model = "small",
                           .model_hash = 0x1234,
                           .layer_from = 3,
                           .dtype = -1,
                           .codec = -1};
    return w;
}

struct pair_server {
    struct net *net;
    struct net_options opt;
    struct pair_shape shape;
    bool mute; /* takes frames, slowly, and answers none */
    int port;
    pthread_t thread;
    int served, refused; /* streams that ended cleanly; hellos refused */
    int last_error;      /* of the last stream that did not */
    char last_text[512];
    struct channel_counters counters;
};

static inline void pair_fill_head(struct wire_head *h, enum wire_type type, int n, int row)
{
    int dim[2] = {n, row};
    wire_head_init(h, type, 0);
    if (type != WIRE_LOSS)
        wire_head_shape(h, WIRE_F32, 2, dim);
    h->n_samples = h->n_full = (uint32_t)n;
    h->micro_count = 1;
}

static inline int pair_swallow(struct channel *c)
{
    for (uint64_t n = 0;; n++) {
        int r = channel_wait_frame(c, n, -1);
        if (r < 0)
            return r;
        usleep(1000);
        channel_release(c);
    }
}

static inline int pair_echo(struct channel *c)
{
    for (uint64_t n = 0;; n++) {
        int r = channel_wait_frame(c, n, -1);
        if (r < 0)
            return r;
        r = channel_wait_slot(c, -1);
        if (r < 0)
            return r;
        const struct wire_head *in = channel_head(c, n);
        struct wire_head *out = channel_tx_head(c);
        pair_fill_head(out, WIRE_GRADIENT, (int)in->n_samples, (int)in->dim[1]);
        out->loss = 2 * in->first_sample;
        memcpy(channel_tx_payload(c), channel_payload(c, n), in->payload_bytes);
        channel_release(c);
        channel_publish(c);
    }
}

static inline void pair_serve(struct pair_server *s, struct channel *c)
{
    struct hello_want want = pair_want();
    struct answer answer = {.layer_from = 3, .layer_to = 6, .node = "server"};
    struct channel_rings rings;
    int r;

    if (hello_check(channel_hello(c), &want) < 0) {
        channel_refuse(c, ANSWER_REFUSE, err_text());
        s->refused++;
        return;
    }
    rings = pair_rings(&s->shape, true);
    channel_accept(c, &answer, &rings);
    r = s->mute ? pair_swallow(c) : pair_echo(c);
    if (r == -ENODATA) {
        s->served++;
    } else {
        s->last_error = r;
        snprintf(s->last_text, sizeof(s->last_text), "%s", err_text());
    }
    s->counters = channel_counters(c);
    channel_close(c);
    pair_rings_free(&rings);
}

static inline void *pair_server_thread(void *arg)
{
    struct pair_server *s = arg;

    while (!net_stopping(s->net)) {
        struct channel *c = net_offered(s->net);
        if (c)
            pair_serve(s, c);
        else
            net_wait(s->net, -1);
    }
    return NULL;
}

static inline void pair_server_start(struct pair_server *s, const char *address)
{
    assert_int_equal(net_open(&s->net, &s->opt), 0);
    assert_int_equal(net_listen(s->net, address, s->port), 0);
    s->port = net_port(s->net);
    assert_int_equal(pthread_create(&s->thread, NULL, pair_server_thread, s), 0);
}

static inline void pair_server_stop(struct pair_server *s)
{
    net_stop(s->net);
    pthread_join(s->thread, NULL);
    net_close(s->net);
}

#endif
