/*
 * What a CUDA device does in which order: copies beside its queue, fences, recordings, on the
 * emulated GPU and on a real one. Its own device, for check_cuda's waits for every kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "kernels/buffer.h"
#include "kernels/kernels.h"

enum { N = 1000 };

struct scene {
    struct device *d;
    struct buffer pinned, device;
    float *in, *out; /* pinned */
    float *x, *y;    /* the device's */
};

static struct scene setup(void)
{
    struct scene p;
    int count;
    if (device_cuda_count(&count) < 0)
        skip();
    if (device_cuda_open(&p.d, 0) < 0 ||
        buffer_open(&p.pinned, p.d, PLACE_PINNED, 2 * N * sizeof(float), "test") < 0 ||
        buffer_open(&p.device, p.d, PLACE_DEVICE, 2 * N * sizeof(float), "test") < 0)
        fail_msg("%s", err_text());
    p.in = p.pinned.base;
    p.out = p.in + N;
    p.x = p.device.base;
    p.y = p.x + N;
    for (int i = 0; i < N; i++)
        p.in[i] = (float)i;
    return p;
}

static void teardown(struct scene *p)
{
    buffer_close(&p->device);
    buffer_close(&p->pinned);
    device_close(p->d);
}

static void check_sync(struct scene *p)
{
    if (device_sync(p->d) < 0)
        fail_msg("%s", err_text());
}

static void check_out(const struct scene *p, float factor)
{
    for (int i = 0; i < N; i++)
        assert_true(p->out[i] == factor * (float)i);
}

/* In, over the device, out: every link waits for the one before. */
static void test_copies(void **state)
{
    (void)state;
    struct scene p = setup();
    const struct kernels *k = p.d->kernels;
    if (!p.d->ops->upload) { /* it shares the memory of the CPU */
        teardown(&p);
        skip();
    }
    for (int round = 1; round <= 8; round++) {
        p.d->ops->upload(p.d, p.x, p.in, N * sizeof(float));
        k->axpby(p.d, p.y, p.x, N, (float)round, 0);
        p.d->ops->download(p.d, p.out, p.y, N * sizeof(float));
        check_sync(&p);
        check_out(&p, (float)round);
    }
    teardown(&p);
}

/* A fence passes behind the copy to the host; looked at before, it says so or that it has not. */
static void test_fence(void **state)
{
    (void)state;
    struct scene p = setup();
    struct fence *f;
    if (p.d->ops->fence_open(p.d, &f) < 0)
        fail_msg("%s", err_text());
    for (int round = 1; round <= 8; round++) {
        int looks = 0, passed = 0;
        p.d->ops->copy(p.d, p.x, p.in, N * sizeof(float));
        p.d->kernels->axpby(p.d, p.y, p.x, N, (float)round, 0);
        if (p.d->ops->download)
            p.d->ops->download(p.d, p.out, p.y, N * sizeof(float));
        else
            p.d->ops->copy(p.d, p.out, p.y, N * sizeof(float));
        p.d->ops->fence_set(p.d, f);
        while (round % 2 && (passed = device_look(p.d, f, 0)) == 0)
            looks++;
        if (!passed)
            assert_int_equal(device_look(p.d, f, 1), 1);
        check_out(&p, (float)round);
#ifdef EMULATED
        assert_true(round % 2 == 0 || looks > 0); /* nothing runs when it is queued */
#endif
    }
    p.d->ops->fence_close(p.d, f);
    teardown(&p);
}

/* Recorded work is not done until it is replayed, and then as often. */
static void test_recording(void **state)
{
    (void)state;
    unsetenv("SPARSE_CUDA_GRAPHS");
    struct scene p = setup();
    p.d->ops->copy(p.d, p.y, p.in, N * sizeof(float));
    p.d->ops->record(p.d);
    p.d->kernels->axpby(p.d, p.x, p.y, N, 3, 0);
    p.d->kernels->axpby(p.d, p.y, p.x, N, 1, 0);
    struct recording *r = p.d->ops->recorded(p.d);
    assert_non_null(r);
    for (int times = 0; times <= 2; times++) {
        p.d->ops->copy(p.d, p.out, p.y, N * sizeof(float));
        check_sync(&p);
        check_out(&p, times == 0 ? 1 : times == 1 ? 3 : 9);
        p.d->ops->replay(p.d, r);
    }
    p.d->ops->recording_free(p.d, r);
    teardown(&p);
}

static void test_no_recording(void **state)
{
    (void)state;
    setenv("SPARSE_CUDA_GRAPHS", "0", 1);
    struct scene p = setup();
    assert_null(p.d->ops->record);
    teardown(&p);
    unsetenv("SPARSE_CUDA_GRAPHS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_fence),
        cmocka_unit_test(test_recording),
        cmocka_unit_test(test_no_recording),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
