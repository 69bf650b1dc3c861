/*
 * What runs beside what on a CUDA device: lanes, and copies beside kernels. On the emulated GPU
 * "lazy" runs nothing but what is waited for, so that what has not run then was not waited for; the
 * other orders find what should have been. On a real one, that the numbers are right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>

#include "base/err.h"
#include "kernels/buffer.h"
#include "kernels/cuda/device_cuda.h"
#include "kernels/kernels.h"
#include "tests/child.h"

#define WANT(cond)                                                  \
    do {                                                            \
        if (!(cond)) {                                              \
            fprintf(stderr, "line %d: %s\n", __LINE__, err_text()); \
            return #cond;                                           \
        }                                                           \
    } while (0)

enum { N = 1000, FLOATS = N * (int)sizeof(float) };

#ifdef EMULATED
static const bool on_emulator = true;
#else
static const bool on_emulator = false;
#endif

/* Each child's own. */
static struct device *d;
static const struct device_ops *ops;
static const struct kernels *k;
static struct buffer pinned, device;
static float *in, *out, *flag; /* pinned, N of each */
static float *x, *y, *z;       /* the device's */

static const char *setup(int lanes)
{
    WANT(device_cuda_open(&d, 0) == 0);
    ops = d->ops;
    k = d->kernels;
    WANT(buffer_open(&pinned, d, PLACE_PINNED, 3 * FLOATS, "test") == 0);
    WANT(buffer_open(&device, d, PLACE_DEVICE, 3 * FLOATS, "test") == 0);
    in = pinned.base;
    out = in + N;
    flag = out + N;
    x = device.base;
    y = x + N;
    z = y + N;
    for (int i = 0; i < N; i++)
        in[i] = (float)i;
    WANT(ops->lanes(d, lanes) == lanes);
    return NULL;
}

static const char *teardown(void)
{
    WANT(device_sync(d) == 0);
    buffer_close(&device);
    buffer_close(&pinned);
    device_close(d);
    return NULL;
}

static bool is(const float *a, float factor)
{
    for (int i = 0; i < N; i++)
        if (a[i] != factor * (float)i)
            return false;
    return true;
}

static const char *const orders[] = {
    "streams=lazy",        "streams=eager",       "streams=rand,seed=1", "streams=rand,seed=2",
    "streams=rand,seed=3", "streams=rand,seed=4", "integrated",          NULL};

static const char *finds_gpu(void)
{
    int count;
    return device_cuda_count(&count) == 0 ? NULL : "no GPU";
}

/* In every order. A process that has asked CUDA anything cannot fork, so a child asks. */
static void in_each(const char *(*fn)(void))
{
    if (!child_says(finds_gpu))
        skip();
    for (int i = 0; orders[i]; i++)
        check_child(orders[i], fn, NULL);
}

static const char *numbers(void)
{
    const char *wrong = setup(3);
    for (int round = 1; round <= 4 && !wrong; round++) {
        ops->lane(d, 1);
        ops->copy(d, x, in, FLOATS);
        k->axpby(d, y, x, N, (float)round, 0);
        ops->lane(d, 2);
        ops->lane_after(d, 1);
        k->axpby(d, z, y, N, 2, 0);
        ops->lane(d, 0);
        ops->lane_after(d, 2);
        ops->copy(d, out, z, FLOATS);
        ops->lane(d, 1); /* its next round writes what lanes 2 and 0 read */
        ops->lane_after(d, 0);
        WANT(round % 2 || device_sync(d) == 0);
        WANT(round % 2 || is(out, 2 * (float)round));
    }
    return wrong ? wrong : teardown();
}

static void lanes_in_order(void **state)
{
    in_each(numbers);
}

/* A copy in, kernels, a copy out, a fence: of one lane, whatever the others do. */
static const char *beside(void)
{
    struct fence *f;
    const char *wrong = setup(4);
    WANT(!wrong && ops->fence_open(d, &f) == 0);
    for (int lane = 1; lane < 4; lane++) {
        k->fill(d, flag, N, (float)lane); /* in the lane before */
        ops->lane(d, lane);
        if (ops->upload)
            ops->upload(d, x, in, FLOATS);
        else
            ops->copy(d, x, in, FLOATS);
        k->axpby(d, y, x, N, (float)lane, 0);
        if (ops->download)
            ops->download(d, out, y, FLOATS);
        else
            ops->copy(d, out, y, FLOATS);
        ops->fence_set(d, f);
        WANT(device_look(d, f, 1) == 1 && is(out, (float)lane));
#ifdef EMULATED
        if (strstr(getenv("CUDA_EMU"), "lazy"))
            WANT(flag[0] == 0);
#endif
    }
    ops->fence_close(d, f);
    return teardown();
}

static void lanes_beside_each_other(void **state)
{
    in_each(beside);
}

/* One lane, as training has with K = 1: what is copied to the GPU does not wait for kernels that
 * are queued, what is copied from it not for those behind. */
static const char *copies(void)
{
    struct fence *f;
    const char *wrong = setup(2);
    WANT(!wrong);
    if (!ops->upload)
        return teardown();
    WANT(ops->fence_open(d, &f) == 0);
    ops->upload(d, x, in, FLOATS);
    k->axpby(d, y, x, N, 3, 0);
    ops->download(d, out, y, FLOATS);
    ops->fence_set(d, f);
    k->fill(d, flag, N, 1);                        /* step n computes */
    WANT(device_look(d, f, 1) == 1 && is(out, 3)); /* n - 1 is out */
#ifdef EMULATED
    bool lazy = strstr(getenv("CUDA_EMU"), "lazy");
    WANT(!lazy || flag[0] == 0);
#endif
    ops->upload(d, z, in, FLOATS); /* n + 1 goes in: a lane beside sees it */
    cudaStreamSynchronize(cuda_of(d)->up);
    ops->lane(d, 1);
    ops->copy(d, out, z, FLOATS);
    ops->fence_set(d, f);
    WANT(device_look(d, f, 1) == 1 && is(out, 1));
#ifdef EMULATED
    WANT(!lazy || flag[0] == 0);
#endif
    ops->lane(d, 0);
    ops->fence_close(d, f);
    return teardown();
}

static void copies_beside_kernels(void **state)
{
    in_each(copies);
}

/* Batch-norm keeps what it reduced in the lane's scratch, from one kernel to the next. */
enum { BATCH = 2, CHANNELS = 3, PIXELS = 40, IMAGE = BATCH * CHANNELS * PIXELS };

static void normalise(const float *inp, float *to)
{
    float *state = to + IMAGE; /* mean, 1/deviation, running mean and variance, weight */
    k->fill(d, state, 4 * CHANNELS, 0);
    k->fill(d, state + 4 * CHANNELS, CHANNELS, 1);
    k->fill(d, state + 5 * CHANNELS, CHANNELS, 0);
    k->batchnorm_forward_train(d, to, state, state + CHANNELS, state + 2 * CHANNELS,
                               state + 3 * CHANNELS, inp, state + 4 * CHANNELS,
                               state + 5 * CHANNELS, BATCH, CHANNELS, PIXELS, 0.1f, 1e-5f);
}

static const char *scratch(void)
{
    const char *wrong = setup(3);
    WANT(!wrong);
    for (int i = 0; i < N; i++)
        in[i] = (float)(i * 37 % 101);
    normalise(in, out);
    WANT(device_sync(d) == 0);
    for (int lane = 1; lane < 3; lane++) {
        ops->lane(d, lane);
        normalise(in + (lane == 2 ? 50 : 0), lane == 2 ? in + N / 2 : flag);
    }
    ops->lane(d, 0);
    WANT(device_sync(d) == 0);
    WANT(!memcmp(out, flag, IMAGE * sizeof(float)));
    WANT(memcmp(out, in + N / 2, IMAGE * sizeof(float)));
    return teardown();
}

static void scratch_of_each_lane(void **state)
{
    in_each(scratch);
}

/* A recording made in one lane runs in the lane in which it is replayed. */
static const char *recording(void)
{
    const char *wrong = setup(2);
    WANT(!wrong);
    if (!ops->record)
        return teardown();
    ops->lane(d, 1);
    ops->copy(d, x, in, FLOATS);
    ops->record(d);
    k->axpby(d, y, x, N, 5, 0);
    struct recording *r = ops->recorded(d);
    ops->replay(d, r);
    ops->copy(d, out, y, FLOATS);
    WANT(device_sync(d) == 0 && is(out, 5));
    ops->recording_free(d, r);
    ops->lane(d, 0);
    return teardown();
}

static void recordings_in_a_lane(void **state)
{
    in_each(recording);
}

/* A convolution that doubles, through cuDNN where it is: in the lane of its copies. */
static const char *cudnn(void)
{
    static const struct conv2d_dims s = {1, 1, 25, 40, 1, 1, 1, 1, 1, 0, 0, 25, 40};
    struct buffer work;
    const char *wrong = setup(3);
    WANT(!wrong && (device_cuda_use_cudnn(d, NULL) == 0 || !on_emulator));
    WANT(buffer_open(&work, d, PLACE_DEVICE, k->conv2d_work(d, &s, 0), "work") == 0);
    k->fill(d, z, 1, 2);
    for (int lane = 2; lane >= 0; lane--) {
        memset(out, 0, FLOATS);
        ops->lane(d, lane);
        ops->lane_after(d, 0);
        ops->copy(d, x, in, FLOATS);
        k->conv2d_forward(d, y, x, z, NULL, &s, ACT_NONE, work.base);
        ops->copy(d, out, y, FLOATS);
        WANT(device_sync(d) == 0 && is(out, 2));
        k->fill(d, y, N, 0);
        WANT(device_sync(d) == 0);
    }
    buffer_close(&work);
    return teardown();
}

static void cudnn_in_a_lane(void **state)
{
    in_each(cudnn);
}

static const char *bounds(void)
{
    const char *wrong = setup(2);
    WANT(!wrong && ops->lanes(d, 1) == 2); /* never fewer */
    WANT(ops->lanes(d, 100) == CUDA_LANES);
    return teardown();
}

static const char *limited(void)
{
    setenv("SPARSE_CUDA_LANES", "1", 1);
    WANT(device_cuda_open(&d, 0) == 0);
    WANT(d->ops->lanes(d, 4) == 1);
    device_close(d);
    return NULL;
}

static void number_of_lanes(void **state)
{
    if (!child_says(finds_gpu))
        skip();
    check_child("", bounds, NULL);
    check_child("", limited, NULL);
}

#ifdef EMULATED
/* Whatever stream it happens on, and whichever is waited for, it is the device's first error. */
static const char *failing(void)
{
    struct fence *f;
    const char *wrong = setup(3);
    WANT(!wrong && ops->fence_open(d, &f) == 0);
    ops->lane(d, 2);
    ops->upload(d, x, in, FLOATS);
    k->fill(d, y, N, 1);
    ops->download(d, out, y, FLOATS);
    ops->fence_set(d, f);
    ops->lane(d, 0);
    for (int i = 0; i < 2; i++) {
        WANT(device_sync(d) == -EIO);
        WANT(strstr(err_text(), "a kernel or copy: an illegal memory access") ||
             strstr(err_text(), "a copy to the host: an illegal memory access"));
        WANT(device_look(d, f, 1) == -EIO);
        k->fill(d, y, N, 1);
    }
    ops->fence_close(d, f);
    buffer_close(&device);
    buffer_close(&pinned);
    device_close(d);
    return NULL;
}

static const char *too_few(void)
{
    WANT(device_cuda_open(&d, 0) == 0);
    WANT(d->ops->lanes(d, 3) == -ENOMEM);
    WANT(strstr(err_text(), "cudaMalloc: out of memory"));
    device_close(d);
    return NULL;
}

/* Streams in the order in which they are made: lane 0 and its copies 1, 2; copies in 3; lane 1 and
 * its copies 4, 5; lane 2: 6, 7. */
static void errors_of_any_lane(void **state)
{
    check_child("fail-work=1,fail-stream=3", failing, NULL);
    check_child("fail-work=1,fail-stream=6", failing, NULL);
    check_child("fail-work=1,fail-stream=7,streams=lazy", failing, NULL);
    check_child("fail-work=1,fail-stream=6,streams=eager", failing, NULL);
    check_child("fail-malloc=3", too_few, NULL);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_in_order),        cmocka_unit_test(lanes_beside_each_other),
        cmocka_unit_test(copies_beside_kernels), cmocka_unit_test(scratch_of_each_lane),
        cmocka_unit_test(cudnn_in_a_lane),       cmocka_unit_test(recordings_in_a_lane),
        cmocka_unit_test(number_of_lanes),
#ifdef EMULATED
        cmocka_unit_test(errors_of_any_lane),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
