/*
 * Wakes a thread that sleeps until another has moved a counter, without a lost wake-up and, while
 * nobody sleeps, without a system call. One sleeper, any posters. The sleeper sleeps in the kernel
 * by a futex (wake_wait), or, where it waits for sockets too, on event_fd. Internal to net/.
 *
 *     sleeper                                       poster
 *     ticket = wake_ticket(w);                      move the counter
 *     if (nothing to do)                            wake_post(w);
 *         wake_wait(w, ticket, timeout_ns);
 */
#ifndef NET_WAKE_H
#define NET_WAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct wake {
    _Alignas(64) _Atomic uint32_t epoch; /* posts ever made */
    _Atomic uint32_t sleeping;
    int event_fd; /* -1: the sleeper uses wake_wait */
};

void wake_init(struct wake *w);      /* with a futex */
int wake_init_event(struct wake *w); /* with an event_fd; -errno */
void wake_fini(struct wake *w);

uint32_t wake_ticket(struct wake *w);
void wake_post(struct wake *w);

/* As wake_post, but an event_fd is written only where *wanted: it is set before the sleeper
 * looks for the last time. */
void wake_post_if(struct wake *w, _Atomic bool *wanted);

/* Async-signal-safe, and always writes event_fd. */
void wake_force(struct wake *w);

/* Until a post after the ticket was drawn: true. timeout_ns passed (-1: never): false. It does not
 * spin first: on two processors shared with neighbours it made a round trip longer by half. */
bool wake_wait(struct wake *w, uint32_t ticket, int64_t timeout_ns);

/* For a sleeper on event_fd. True: sleep, then call wake_awake; false: something was posted
 * since the ticket. */
bool wake_sleeping(struct wake *w, uint32_t ticket);
void wake_awake(struct wake *w);

#endif
