/*
 * The network side of a node: one loop that owns the io_uring (or poll set), the listening socket
 * and all connections (channel.h). It runs inside the calls that wait (net_wait, channel_wait_*),
 * or in a thread of its own (options.thread); what its user writes is the same. One thread uses a
 * net and its channels; net_stop alone may come from anywhere.
 *
 *     struct net_options opt = net_options_default();
 *     struct net *net;
 *     if (net_open(&net, &opt) < 0) ...                             // err_text() says why
 *     if (net_listen(net, "0.0.0.0", 50007) < 0) ...
 *     while (!net_stopping(net)) {
 *         struct channel *c = net_offered(net);                     // somebody said hello
 *         if (!c) {
 *             net_wait(net, -1);
 *             continue;
 *         }
 *         if (hello_check(channel_hello(c), &want) < 0) {
 *             channel_refuse(c, ANSWER_REFUSE, err_text());         // c is gone
 *             continue;
 *         }
 *         channel_accept(c, &answer, &rings);
 *         while ((r = channel_wait_frame(c, n, -1)) == 0) {         // frame n is in slot n % nslot
 *             ... channel_head(c, n), channel_aux(c, n), channel_payload(c, n) ...
 *             if (channel_wait_slot(c, -1) < 0) break;              // for the answer
 *             h = channel_tx_head(c); wire_head_init(...); ... fill channel_tx_payload(c) ...
 *             channel_publish(c);                                   // goes out at once
 *             channel_release(c);                                   // frame n's slot is free again
 *             n++;
 *         }                                                         // -ENODATA: the clean end
 *         channel_close(c);
 *     }
 *     net_close(net);
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "net/channel.h"

enum net_transport { NET_AUTO, NET_URING, NET_POLL, NET_TRANSPORT_COUNT };

enum net_zc { NET_ZC_AUTO, NET_ZC_NEVER, NET_ZC_ALWAYS };

struct net_options {
    /* AUTO: io_uring, else poll, said in one log line; URING: an error where it is refused */
    enum net_transport transport;

    /* The loop in its own thread, so that transfers go on while the caller computes. A frame then
     * takes two switches of threads more each way: only where processors are idle. */
    bool thread;

    int max_channels; /* connections to us at once; who comes later waits until there is a place */
    int retry_ms;     /* between attempts to connect: 5000 */
    int hello_ms;     /* a connection must have said its hello by then: 5000 */
    int stall_ms;     /* a frame that has begun must move on within it: 30000 */
    int dead_ms;      /* a peer that no longer answers at all is gone after it: 30000 */
    int drain_ms;     /* at a clean end, wait so long for the other side's: 5000 */

    /* AUTO: where the peer is another machine and the kernel does not copy after all */
    enum net_zc send_zc;

    int socket_buffer; /* tests: SO_SNDBUF and SO_RCVBUF; 0: the kernel's own tuning */
    int transfer_max;  /* tests: no single send or receive is longer; 0: no limit */
    bool old_kernel;   /* tests: use nothing that Linux 5.10 lacks */
};
struct net_options net_options_default(void);

struct net;

int net_open(struct net **n, const struct net_options *opt);

/* Closes what is open, without a clean end. NULL is fine. */
void net_close(struct net *n);

/* From any thread or signal handler: every wait returns -EINTR from now on. */
void net_stop(struct net *n);
bool net_stopping(const struct net *n);

/* Back to work after net_stop: for the waits of a clean end. */
void net_resume(struct net *n);

/* "uring" or "poll". */
const char *net_transport_text(const struct net *n);

/* Once a net. Address: IPv4, IPv6 or a name; port 0: any, net_port says which. */
int net_listen(struct net *n, const char *address, int port);
int net_port(const struct net *n);

/* A channel whose hello has come and that waits for channel_accept or channel_refuse: the
 * longest-waiting first; NULL: none. */
struct channel *net_offered(struct net *n);

/* Until something changed on any channel (a frame, a slot, an offer, an end): 1; timeout_ms passed
 * (-1: never): 0; stopped: -EINTR; the loop itself broke: -errno and a sentence. May return 1 for
 * nothing: look, then wait again. */
int net_wait(struct net *n, int timeout_ms);

/* Moves on what can move without waiting; for long computations where the loop has no thread of
 * its own. */
void net_progress(struct net *n);

/* System calls of the loop so far (with io_uring: io_uring_enter), for benches and statistics. */
uint64_t net_calls(const struct net *n);

#endif
