/* Addresses and counters of a ring of frames. The release of one side pairs with the acquire of
 * the other. */
#include "net/frame_ring.h"

#include <string.h>

#include "base/err.h"

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* The head at the start, its copy right before the aux: they must not meet. */
size_t frame_head_bytes(size_t aux_max)
{
    return round_up(2 * sizeof(struct wire_head) + round_up(aux_max, WIRE_AUX_ALIGN), FRAME_PAGE);
}

size_t frame_stride(size_t aux_max, size_t payload_max)
{
    return frame_head_bytes(aux_max) + round_up(payload_max, FRAME_PAGE);
}

size_t frame_memory_bytes(unsigned nslot, size_t aux_max, size_t payload_max)
{
    return nslot * frame_stride(aux_max, payload_max);
}

void *frame_payload(const struct frame_memory *m, unsigned slot)
{
    return (char *)m->base + slot * frame_stride(m->aux_max, m->payload_max) +
           frame_head_bytes(m->aux_max);
}

void frame_ring_init(struct frame_ring *r, const struct frame_memory *mem)
{
    CHECK((uintptr_t)mem->base % FRAME_PAGE == 0);
    CHECK(mem->nslot == 0 || mem->base);
    r->mem = *mem;
    r->head_bytes = frame_head_bytes(mem->aux_max);
    r->stride = frame_stride(mem->aux_max, mem->payload_max);
    atomic_store_explicit(&r->filled, 0, memory_order_relaxed);
    atomic_store_explicit(&r->freed, 0, memory_order_relaxed);
}

static char *slot(const struct frame_ring *r, uint64_t n)
{
    return (char *)r->mem.base + n % r->mem.nslot * r->stride;
}

struct wire_head *frame_ring_head(const struct frame_ring *r, uint64_t n)
{
    return (struct wire_head *)slot(r, n);
}

void *frame_ring_aux(const struct frame_ring *r, uint64_t n, uint32_t aux_bytes)
{
    return slot(r, n) + r->head_bytes - wire_aux_padded(aux_bytes);
}

void *frame_ring_payload(const struct frame_ring *r, uint64_t n)
{
    return slot(r, n) + r->head_bytes;
}

void *frame_ring_run(const struct frame_ring *r, uint64_t n, size_t *bytes)
{
    const struct wire_head *h = frame_ring_head(r, n);
    size_t lead = sizeof(*h) + wire_aux_padded(h->aux_bytes);

    *bytes = lead + h->payload_bytes;
    return slot(r, n) + r->head_bytes - lead;
}

uint64_t frame_ring_next(const struct frame_ring *r)
{
    return atomic_load_explicit(&r->filled, memory_order_relaxed);
}

bool frame_ring_can_fill(const struct frame_ring *r)
{
    uint64_t filled = atomic_load_explicit(&r->filled, memory_order_relaxed);
    return filled - atomic_load_explicit(&r->freed, memory_order_acquire) < r->mem.nslot;
}

void frame_ring_publish(struct frame_ring *r)
{
    uint64_t n = atomic_load_explicit(&r->filled, memory_order_relaxed);
    struct wire_head *h = frame_ring_head(r, n);

    CHECK(frame_ring_can_fill(r));
    CHECK(h->aux_bytes <= r->mem.aux_max && h->payload_bytes <= r->mem.payload_max);
    h->seq = n;
    memcpy((char *)frame_ring_aux(r, n, h->aux_bytes) - sizeof(*h), h, sizeof(*h));
    atomic_store_explicit(&r->filled, n + 1, memory_order_release);
}

bool frame_ring_can_read(const struct frame_ring *r, uint64_t n)
{
    return n < atomic_load_explicit(&r->filled, memory_order_acquire);
}

void frame_ring_release(struct frame_ring *r)
{
    uint64_t freed = atomic_load_explicit(&r->freed, memory_order_relaxed);

    CHECK(freed < atomic_load_explicit(&r->filled, memory_order_relaxed));
    atomic_store_explicit(&r->freed, freed + 1, memory_order_release);
}
