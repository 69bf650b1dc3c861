/*
 * A connection to one neighbour: a ring of frames to it (tx), one from it (rx), both in memory that
 * the caller lends. What comes is checked before it is believed; a peer that dies, stalls or sends
 * rubbish ends its own channel with one sentence, and no other. See net.h for the use. No call here
 * blocks except channel_wait_* and channel_close.
 */
#ifndef NET_CHANNEL_H
#define NET_CHANNEL_H

#include <stdint.h>

#include "net/frame_ring.h"
#include "net/hello.h"

struct net;
struct channel;

enum { CHANNEL_MAX_SLOTS = 64 }; /* of a ring that is sent from */

/* Lent from channel_connect or channel_accept until channel_close (or a failed connect's close)
 * has returned. */
struct channel_rings {
    struct frame_memory tx, rx;
    struct wire_expect expect; /* of rx; its payload_max and aux_max are taken from rx */
};

enum channel_state {
    CHANNEL_FREE,
    CHANNEL_CONNECTING, /* not there yet: tried again every retry_ms, for ever */
    CHANNEL_GREETING,   /* connected, hello sent or awaited */
    CHANNEL_OFFERED,    /* the neighbour's hello is here, this side must answer */
    CHANNEL_OPEN,
    CHANNEL_ENDED,  /* the neighbour said END: all its frames are in rx */
    CHANNEL_FAILED, /* channel_error, channel_error_text */
    CHANNEL_STATE_COUNT
};

struct channel_counters {
    uint64_t frames_sent, frames_received;
    uint64_t bytes_sent, bytes_received; /* everything on the wire of this channel */
    uint64_t sends, receives;            /* operations; with poll also system calls */
    uint64_t short_sends, short_receives;
    /* send_zc notifications, and those where the kernel copied after all */
    uint64_t zc_sent, zc_copied;
};

/* Starts connecting and returns at once; rings and *mine are kept (*mine copied). -ENOMEM:
 * max_channels are in use. */
int channel_connect(struct channel **c, struct net *n, const char *host, int port,
                    const struct hello *mine, const struct channel_rings *rings);

/* Until the neighbour has accepted: 0. Else -ETIMEDOUT (timeout_ms; -1: never), -EINTR
 * (net_stop), or the channel's error. */
int channel_wait_open(struct channel *c, int timeout_ms);
const struct answer *channel_answer(const struct channel *c); /* what it answered */

/* Of an OFFERED channel. refuse sends the sentence and closes: c is gone then. */
const struct hello *channel_hello(const struct channel *c);
void channel_accept(struct channel *c, const struct answer *mine,
                    const struct channel_rings *rings);
void channel_refuse(struct channel *c, enum answer_verdict verdict, const char *sentence);

/* Frame n of rx is there: 0. Clean end before it: -ENODATA. -ETIMEDOUT, -EINTR, or the channel's
 * error with its sentence. Frames that came before an end or an error are still given. */
int channel_wait_frame(struct channel *c, uint64_t n, int timeout_ms);
const struct wire_head *channel_head(const struct channel *c, uint64_t n);
const void *channel_aux(const struct channel *c, uint64_t n);
void *channel_payload(const struct channel *c, uint64_t n);
void channel_release(struct channel *c); /* the oldest frame's slot */

/* The next frame to send has a free slot: 0. Errors as above (-EPIPE after channel_end). */
int channel_wait_slot(struct channel *c, int timeout_ms);
uint64_t channel_tx_next(const struct channel *c); /* its number: slot number % nslot */
struct wire_head *channel_tx_head(struct channel *c);
void *channel_tx_aux(struct channel *c, uint32_t aux_bytes);
void *channel_tx_payload(struct channel *c);
void channel_publish(struct channel *c); /* sets seq, sends; CHECKs sizes against the slot */

/* True if frame n of tx has left: its slot may be written again. */
bool channel_sent(const struct channel *c, uint64_t n);

/* No more frames from here: END goes out after what was published. */
void channel_end(struct channel *c);

/* Ends the stream with a sentence that the neighbour will read. */
void channel_fail(struct channel *c, const char *sentence);

/* After channel_end: waits (at most drain_ms) until everything has gone and the neighbour has
 * ended too. Without it: ends at once. The lent memory is free when it returns. NULL is fine. */
void channel_close(struct channel *c);

enum channel_state channel_state(const struct channel *c);
int channel_error(const struct channel *c);              /* 0 or -errno */
const char *channel_error_text(const struct channel *c); /* "" if none */
const char *channel_peer(const struct channel *c);       /* "10.49.2.2:50008" */
struct channel_counters channel_counters(const struct channel *c);

#endif
