/*
 * A ring of frames in memory that somebody lends: one producer, one consumer, two counters, no
 * lock. Frame n lies in slot n % nslot for ever, so every address is known before the first frame.
 * The ring owns no memory, and nothing here blocks.
 *
 * A slot is stride bytes: [ head_bytes: the head at its start, aux at its end | payload,
 * page-aligned ]. What is sent is head, aux and payload without a gap: frame_ring_publish puts a
 * copy of the head right before the aux.
 *
 *     producer                                          consumer
 *     if (frame_ring_can_fill(r)) {                     if (frame_ring_can_read(r, n)) {
 *         h = frame_ring_head(r, n);                        use head, aux, payload of frame n
 *         fill head, aux, payload of frame n;               frame_ring_release(r); // the oldest
 *         frame_ring_publish(r);                        }
 *     }
 */
#ifndef NET_FRAME_RING_H
#define NET_FRAME_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/wire.h"

enum { FRAME_PAGE = 4096 };

/* Lent memory, page-aligned. A plain value: whoever lends it keeps it alive and frees it. */
struct frame_memory {
    void *base;
    unsigned nslot;
    size_t aux_max;     /* the most aux bytes of a frame (4 a label) */
    size_t payload_max; /* the most payload bytes of a frame */
};

size_t frame_head_bytes(size_t aux_max); /* whole pages */
size_t frame_stride(size_t aux_max, size_t payload_max);
/* what to allocate */
size_t frame_memory_bytes(unsigned nslot, size_t aux_max, size_t payload_max);

/* Where slot i's payload begins: page-aligned (if base is). The address that a pass is bound to. */
void *frame_payload(const struct frame_memory *m, unsigned slot);

struct frame_ring {
    struct frame_memory mem;
    size_t head_bytes, stride;
    _Alignas(64) _Atomic uint64_t filled; /* frames ever published; written by the producer alone */
    _Alignas(64) _Atomic uint64_t freed;  /* frames ever released; written by the consumer alone */
};

/* CHECKs that base is page-aligned and nslot > 0. nslot 0 with base NULL makes a ring that is
 * never ready. */
void frame_ring_init(struct frame_ring *r, const struct frame_memory *mem);

/* Of frame n (its slot is n % nslot). aux: where aux_bytes of it begin, aligned to 64; depends
 * on aux_bytes. */
struct wire_head *frame_ring_head(const struct frame_ring *r, uint64_t n);
void *frame_ring_aux(const struct frame_ring *r, uint64_t n, uint32_t aux_bytes);
void *frame_ring_payload(const struct frame_ring *r, uint64_t n);

/* What of a published frame crosses the wire: head, aux, payload, *bytes of them in one run. */
void *frame_ring_run(const struct frame_ring *r, uint64_t n, size_t *bytes);

/* Producer: the number of the next frame to fill; whether its slot is free; hand it over. */
uint64_t frame_ring_next(const struct frame_ring *r);
bool frame_ring_can_fill(const struct frame_ring *r);
void frame_ring_publish(struct frame_ring *r);

/* Consumer: is frame n there? Give the oldest frame's slot back. */
bool frame_ring_can_read(const struct frame_ring *r, uint64_t n);
void frame_ring_release(struct frame_ring *r);

#endif
