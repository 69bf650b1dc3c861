/* The ring of frames alone: addresses, and two threads that pass a million frames, asleep in
 * between or not. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <poll.h>

#include "net/frame_ring.h"
#include "net/wake.h"

static struct frame_memory memory(unsigned nslot, size_t aux, size_t payload)
{
    struct frame_memory m = {.nslot = nslot, .aux_max = aux, .payload_max = payload};
    m.base = aligned_alloc(FRAME_PAGE, frame_memory_bytes(nslot, aux, payload));
    assert_non_null(m.base);
    return m;
}

static void test_addresses(void **state)
{
    static const size_t aux[] = {0, 4, 256, 3840, 3841, 4096, 100000},
                        payload[] = {0, 1, 4096, 4097, 70000};

    for (size_t a = 0; a < sizeof(aux) / sizeof(aux[0]); a++)
        for (size_t p = 0; p < sizeof(payload) / sizeof(payload[0]); p++) {
            struct frame_memory m = memory(3, aux[a], payload[p]);
            struct frame_ring r;

            frame_ring_init(&r, &m);
            for (uint64_t n = 0; n < 7; n++) {
                char *head = (char *)frame_ring_head(&r, n),
                     *lab = frame_ring_aux(&r, n, (uint32_t)aux[a]);
                char *pay = frame_ring_payload(&r, n);
                assert_int_equal((uintptr_t)pay % FRAME_PAGE, 0);
                assert_int_equal((uintptr_t)lab % WIRE_AUX_ALIGN, 0);
                assert_ptr_equal(pay, frame_payload(&m, (unsigned)(n % 3)));
                assert_true(head >= (char *)m.base + n % 3 * frame_stride(aux[a], payload[p]));
                assert_true(lab >=
                            head + 2 * sizeof(struct wire_head)); /* the head's copy fits between */
                assert_true(lab + aux[a] <= pay);
                assert_true(pay + payload[p] <=
                            (char *)m.base + frame_memory_bytes(3, aux[a], payload[p]));
            }
            free(m.base);
        }
}

/* What is sent begins with the head and ends with the payload, without a gap. */
static void test_run_is_contiguous(void **state)
{
    struct frame_memory m = memory(2, 40, 100);
    struct frame_ring r;
    struct wire_head *h, sent;
    size_t bytes;
    char *run;

    frame_ring_init(&r, &m);
    assert_true(frame_ring_can_fill(&r));
    assert_false(frame_ring_can_read(&r, 0));
    h = frame_ring_head(&r, 0);
    wire_head_init(h, WIRE_ACTIVATION, 77);
    h->aux_bytes = 40;
    h->payload_bytes = 100;
    memset(frame_ring_aux(&r, 0, 40), 'a', 40);
    memset(frame_ring_payload(&r, 0), 'p', 100);
    frame_ring_publish(&r);
    assert_true(frame_ring_can_read(&r, 0));
    run = frame_ring_run(&r, 0, &bytes);
    assert_int_equal(bytes, 128 + 64 + 100);
    memcpy(&sent, run, sizeof(sent));
    assert_int_equal(sent.seq, 0); /* the ring numbers frames, not the caller */
    assert_int_equal(sent.aux_bytes, 40);
    assert_int_equal(run[128], 'a');
    assert_int_equal(run[128 + 39], 'a');
    assert_int_equal(run[128 + 64], 'p');
    assert_int_equal(run[bytes - 1], 'p');

    frame_ring_head(&r, 1)->aux_bytes = 0;
    frame_ring_head(&r, 1)->payload_bytes = 0;
    frame_ring_publish(&r);
    assert_false(frame_ring_can_fill(&r));
    frame_ring_release(&r);
    assert_true(frame_ring_can_fill(&r));
    assert_int_equal(frame_ring_next(&r), 2);
    free(m.base);
}

enum { FRAMES = 1000000 };

struct two {
    struct frame_ring ring;
    struct wake filled,
        freed; /* one sleeps on a futex, the other on an eventfd, as user and loop do */
};

static void wait_event(struct wake *w, uint32_t ticket)
{
    struct pollfd p = {.fd = w->event_fd, .events = POLLIN};
    uint64_t count;

    if (!wake_sleeping(w, ticket))
        return;
    poll(&p, 1, 20000);
    while (read(w->event_fd, &count, sizeof(count)) > 0)
        continue;
    wake_awake(w);
}

static void *consume(void *arg)
{
    struct two *t = arg;
    uint64_t bad = 0;

    for (uint64_t n = 0; n < FRAMES; n++) {
        for (;;) {
            uint32_t ticket = wake_ticket(&t->filled);
            if (frame_ring_can_read(&t->ring, n))
                break;
            if (!wake_wait(&t->filled, ticket, 20000000000))
                return (void *)1;
        }
        bad += frame_ring_head(&t->ring, n)->seq != n;
        bad += *(uint64_t *)frame_ring_payload(&t->ring, n) != n * 3;
        frame_ring_release(&t->ring);
        wake_post(&t->freed);
    }
    return (void *)bad;
}

static void test_two_threads(void **state)
{
    struct frame_memory m = memory(64, 0, 64);
    struct two *t = aligned_alloc(64, sizeof(*t));
    pthread_t thread;
    void *bad;

    frame_ring_init(&t->ring, &m);
    wake_init(&t->filled);
    assert_int_equal(wake_init_event(&t->freed), 0);
    assert_int_equal(pthread_create(&thread, NULL, consume, t), 0);
    for (uint64_t n = 0; n < FRAMES; n++) {
        for (;;) {
            uint32_t ticket = wake_ticket(&t->freed);
            if (frame_ring_can_fill(&t->ring))
                break;
            wait_event(&t->freed, ticket);
        }
        wire_head_init(frame_ring_head(&t->ring, n), WIRE_LOSS, 0);
        *(uint64_t *)frame_ring_payload(&t->ring, n) = n * 3;
        frame_ring_publish(&t->ring);
        wake_post(&t->filled);
    }
    pthread_join(thread, &bad);
    assert_null(bad);
    wake_fini(&t->filled);
    wake_fini(&t->freed);
    free(t);
    free(m.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_run_is_contiguous),
        cmocka_unit_test(test_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
