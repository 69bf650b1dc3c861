/*
 * The insides that net.c (loop, threads, waits), channel.c (frames in and out), ending.c, greet.c
 * (hello and answer) and connect.c (attempts) share. The loop owns a channel's fields, except:
 * state and commands (atomic), the rings' counters, and what the user writes before a command that
 * says so.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/net.h"
#include "net/socket.h"
#include "net/transport.h"
#include "net/wake.h"

/* Beside enum channel_state. RESERVED: being filled in, by the user until his command; GONE:
 * nobody's but the loop's, while its socket runs out. */
enum {
    STATE_RESERVED = CHANNEL_STATE_COUNT,
    STATE_HELD,
    STATE_CLOSED,
    STATE_LEFT,
    STATE_ADRIFT,
    STATE_GONE
};

/* What the user asks of the loop. */
enum {
    COMMAND_CONNECT = 1,
    COMMAND_ACCEPT = 2,
    COMMAND_REFUSE = 4,
    COMMAND_END = 8,
    COMMAND_FAIL = 16,
    COMMAND_CLOSE = 32,
};

enum {
    CHANNEL_TEXT_BYTES = 1024,
    GREET_BYTES = 1024, /* head and the longer of hello and answer, or a sentence */
    ZC_MIN_BYTES = 65536,
    NET_SPARE_CHANNELS = 8, /* for connecting, however many have connected to us */
    STALL_PARTS = 4,        /* progress is looked at so often within stall_ms */
};

enum channel_count {
    COUNT_FRAMES_SENT,
    COUNT_FRAMES_RECEIVED,
    COUNT_BYTES_SENT,
    COUNT_BYTES_RECEIVED,
    COUNT_SENDS,
    COUNT_RECEIVES,
    COUNT_SHORT_SENDS,
    COUNT_SHORT_RECEIVES,
    COUNT_ZC_SENT,
    COUNT_ZC_COPIED,
    COUNT_COUNT
};

enum receive_phase { RECEIVE_NOTHING, GREET_HEAD, GREET_AUX, STREAM_HEAD, STREAM_BODY, LAST_WORDS };
enum send_kind { SEND_NOTHING, SEND_GREETING, SEND_FRAME, SEND_END };
enum connect_phase { CONNECT_IDLE, CONNECT_LOOKUP, CONNECT_TRY, CONNECT_PAUSE };
enum after_drop { AFTER_NOTHING, AFTER_NEXT_ADDRESS, AFTER_PAUSE };

struct channel {
    struct net *net;
    _Atomic int state;
    _Atomic unsigned commands;
    _Atomic bool starved; /* no free rx slot: the next release must wake the loop */
    bool user_ended;      /* the user's own */
    bool owned;           /* the user holds it and will close it */
    bool outgoing, closing, refusing, end_wanted, end_sent;
    bool dropped; /* the socket was shut down; its operations are running out */
    enum after_drop after;
    int fd;
    uint64_t offer_number;
    uint64_t deadline_ns; /* of hello, connect attempt, pause, drain or a lost send; 0: none */
    int lost_error;       /* a send failed: the peer's last words may still be on their way */

    struct frame_ring tx, rx;
    struct wire_expect expect;

    struct transport_op receive;
    enum receive_phase phase;
    char *receive_at;
    size_t receive_left, receive_want;

    struct transport_op send;
    enum send_kind sending;
    char *send_at;
    size_t send_left;
    uint64_t sent; /* frames of tx that have been sent whole; freed follows it */
    bool zc;
    struct transport_hold hold[CHANNEL_MAX_SLOTS];

    struct transport_op watch; /* while connecting: writable; while offered: gone */
    uint64_t moved, stall_moved, stall_progress, stall_check_ns;
    int stall_count;

    enum connect_phase connecting;
    struct lookup *lookup;
    struct socket_address address[SOCKET_MAX_ADDRESSES];
    int address_count, address_next, port;
    char host[256];

    struct hello hello; /* outgoing: ours; incoming: theirs */
    struct answer answer;
    _Atomic uint64_t count[COUNT_COUNT]; /* written by the loop alone, read by anybody */

    int error;
    char trying[SOCKET_TEXT_BYTES], peer[288], text[CHANNEL_TEXT_BYTES],
        fail_text[WIRE_SENTENCE_MAX];
    _Alignas(64) char greet_in[GREET_BYTES];
    _Alignas(64) char greet_out[GREET_BYTES];
    size_t greet_out_bytes; /* > 0: to be sent before anything else */
};

struct net {
    struct net_options opt;
    const struct transport_ops *ops;
    struct transport *transport;
    struct channel *channel;
    int nchannel;
    _Atomic int used; /* channels from here on have never been touched */
    int incoming;     /* connections to us: at most opt.max_channels */
    uint64_t next_offer;
    struct socket_tuning tune;

    _Atomic int listen_fd;
    int port;
    struct transport_op listen, event;
    uint64_t accept_again_ns;

    /* The loop's time stands still while nobody drives the loop: a peer is not late because this
     * node computed for long. */
    uint64_t left_ns, away_ns;

    struct wake loop_wake; /* the loop sleeps on its event_fd */
    struct wake user_wake; /* thread mode: the user sleeps on it */
    uint32_t user_seen;
    _Atomic bool stop, quit;
    _Atomic uint64_t calls;
    bool dirty; /* this turn changed something that the user may wait for */

    pthread_t thread;
    _Atomic int started; /* 0 not yet, 1 runs, -errno */
    _Atomic int broken;  /* 0, or the -errno of a loop that cannot go on, with its text */
    char broken_text[CHANNEL_TEXT_BYTES];
};

static inline void channel_count(struct channel *c, enum channel_count which, uint64_t n)
{
    uint64_t v = atomic_load_explicit(&c->count[which], memory_order_relaxed);
    atomic_store_explicit(&c->count[which], v + n, memory_order_relaxed);
}

/* net.c */
struct channel *net_free_channel(struct net *n,
                                 bool outgoing); /* RESERVED and prepared; NULL: none is free */

/* One turn of the loop: at most timeout_ns (-1: for ever). Whoever drives the loop calls it. */
void net_turn(struct net *n, int64_t timeout_ns);

uint64_t net_after(const struct net *n, int ms); /* a deadline in the loop's time */

/* channel.c: frames. */
void channel_prepare(struct channel *c, bool outgoing);
void channel_begin_receive(struct channel *c, enum receive_phase phase, void *at, size_t bytes);
void channel_begin_stream(struct channel *c);
void channel_pump_receive(struct channel *c);
void channel_pump_send(struct channel *c);
void channel_receive_done(struct transport_op *op, int res);
void channel_send_done(struct transport_op *op, int res);
void channel_notified(struct transport_op *op, struct transport_hold *hold, bool copied);
void channel_set_state(struct channel *c, int state);

/* ending.c: how a channel ends. */
void channel_check_stall(struct channel *c, uint64_t now);

/* Ends it with a sentence for the user, and if told, for the peer too. The socket runs out of
 * operations and is closed. */
void channel_break(struct channel *c, int err, bool tell, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void channel_drop(struct channel *c, enum after_drop after);
void channel_settle(struct channel *c);

/* The connection is gone, whoever's fault: an attempt is made again, a stream breaks with the
 * sentence. */
void channel_lost(struct channel *c, int err, const char *why);

/* Closing, as far as it goes now. */
void channel_try_close(struct channel *c, uint64_t now);

/* When the net is closed: every connection is dropped; true once none is left. */
void ending_drop_all(struct net *n);
bool ending_all_idle(struct net *n);

/* greet.c: hello and answer. */
void greet_send_hello(struct channel *c);
void greet_send_answer(struct channel *c, const struct answer *a);
void greet_received(struct channel *c); /* a phase of the greeting is complete */

/* connect.c: attempts. */
void connect_start(struct channel *c);
void connect_step(struct channel *c, uint64_t now);
void connect_watched(struct channel *c);
void connect_dropped(struct channel *c, enum after_drop after);

#endif
