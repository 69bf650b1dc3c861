/*
 * The CUDA device as its users see it: memory, copies, signals, pinning, the first error and its
 * sentence, and why there is none. On the emulated GPU in every setting; elsewhere on a real one,
 * or that a build or machine without one says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include "base/err.h"
#include "base/rng.h"
#include "kernels/buffer.h"
#include "kernels/kernels.h"
#include "tests/child.h"

#define WANT(cond)                                                  \
    do {                                                            \
        if (!(cond)) {                                              \
            fprintf(stderr, "line %d: %s\n", __LINE__, err_text()); \
            return #cond;                                           \
        }                                                           \
    } while (0)

static const char *finds_gpu(void)
{
    int count;
    return device_cuda_count(&count) == 0 ? NULL : "no GPU";
}

/* Not asked in this process: one that has asked CUDA anything cannot fork. */
static bool have_gpu(void)
{
    return child_says(finds_gpu);
}

/* Skips the test where there is no GPU at all. */
static void in_child(const char *settings, const char *(*fn)(void))
{
    if (!have_gpu())
        skip();
    check_child(settings, fn, NULL);
}

static const char *memory(void)
{
    struct device *d;
    struct buffer on, pinned;
    WANT(device_cuda_open(&d, 0) == 0);
    WANT(buffer_open(&on, d, PLACE_DEVICE, 1000, "numbers") == 0);
    WANT(buffer_open(&pinned, d, PLACE_PINNED, 1000, "numbers") == 0);
    memset(pinned.base, 0x55, 1000);
    d->ops->copy(d, pinned.base, on.base, 1000);
    WANT(device_sync(d) == 0);
    for (int i = 0; i < 1000; i++)
        WANT(((char *)pinned.base)[i] == 0); /* device memory begins zeroed */

    /* A kernel writes pinned memory in place, and a pageable copy is there and back at once. */
    float *x = pinned.base, from[3] = {1, 2, 3}, back[3] = {0};
    d->kernels->fill(d, x, 250, 2.5f);
    d->ops->copy(d, on.base, from, sizeof(from));
    memset(from, 0, sizeof(from));
    d->ops->copy(d, back, on.base, sizeof(back));
    WANT(device_sync(d) == 0);
    WANT(x[0] == 2.5f && x[249] == 2.5f && back[0] == 1 && back[2] == 3);
    buffer_close(&on);
    buffer_close(&pinned);
    device_close(d);
    return NULL;
}

static void memory_and_copies(void **state)
{
    in_child("", memory);
    in_child("streams=eager,integrated", memory);
}

/* The signal comes when what was queued before is done, and by itself: nobody else waits. */
static const char *signals(void)
{
    struct device *d;
    struct buffer pinned;
    WANT(device_cuda_open(&d, 0) == 0);
    WANT(buffer_open(&pinned, d, PLACE_PINNED, 4000, "numbers") == 0);
    int fd = eventfd(0, 0);
    const volatile float *x = pinned.base;
    for (int i = 1; i <= 3; i++) {
        d->kernels->fill(d, pinned.base, 1000, (float)i);
        d->ops->signal(d, fd);
        struct pollfd p = {fd, POLLIN, 0};
        WANT(poll(&p, 1, 60000) == 1);
        uint64_t n;
        WANT(read(fd, &n, sizeof(n)) == sizeof(n) && n == 1);
        WANT(x[0] == (float)i && x[999] == (float)i);
    }
    WANT(device_sync(d) == 0);
    close(fd);
    buffer_close(&pinned);
    device_close(d);
    return NULL;
}

static void an_eventfd_says_when(void **state)
{
    in_child("", signals);
}

#ifdef EMULATED
static const char *two_devices(void)
{
    struct device *d[3];
    WANT(device_cuda_open(&d[0], 0) == 0 && device_cuda_open(&d[1], 1) == 0);
    WANT(device_cuda_open(&d[2], 2) == -ENODEV && !d[2]);
    WANT(strstr(err_text(), "GPU 2 is wanted, there are 2"));
    WANT(device_cuda_open(&d[2], -1) == -ENODEV);
    device_close(d[0]);
    device_close(d[1]);
    struct gpu_info info;
    WANT(device_cuda_info(1, &info) == 0 && strstr(info.name, "GPU 1"));
    WANT(info.major == 7 && info.minor == 2 && info.sm_count > 0 && info.bytes > 0);
    return NULL;
}

static const char *nothing(const char *sentence)
{
    int count = 7;
    struct device *d;
    WANT(device_cuda_count(&count) == -ENODEV && count == 0);
    WANT(strstr(err_text(), sentence));
    WANT(device_cuda_open(&d, 0) == -ENODEV && !d);
    WANT(strstr(err_text(), sentence));
    return NULL;
}

static const char *no_gpu(void)
{
    return nothing("the NVIDIA driver sees no GPU");
}

static const char *old_driver(void)
{
    return nothing("the NVIDIA driver knows CUDA 10.2, this program was built with 12.0");
}

static const char *too_little_memory(void)
{
    struct device *d;
    struct buffer b;
    WANT(device_cuda_open(&d, 0) == 0);
    WANT(buffer_open(&b, d, PLACE_DEVICE, 3 << 20, "weights") == -ENOMEM);
    WANT(strstr(err_text(), "weights: cannot get 3.0 MiB of GPU memory"));
    WANT(strstr(err_text(), "of 2.0 MiB are free"));
    WANT(buffer_open(&b, d, PLACE_DEVICE, 1 << 20, "weights") == 0); /* it was not the last word */
    buffer_close(&b);
    WANT(device_sync(d) == 0);
    device_close(d);
    return NULL;
}

/* Each allocation of an open may fail, and leaves nothing behind. */
static const char *no_memory_at_all(void)
{
    struct device *d;
    WANT(device_cuda_open(&d, 0) == -ENOMEM && !d);
    WANT(strstr(err_text(), "out of memory"));
    return NULL;
}

/* Where pages cannot be pinned in place the driver's serve: zeroed, and kernels reach them. */
static const char *drivers_pages(void)
{
    struct device *d;
    struct buffer b[2];
    struct gpu_info info;
    WANT(device_cuda_info(0, &info) == 0 && !info.pins);
    WANT(device_cuda_open(&d, 0) == 0);
    for (int i = 0; i < 2; i++) {
        WANT(buffer_open(&b[i], d, PLACE_PINNED, 1000 * sizeof(float), "slots") == 0);
        float *x = b[i].base;
        WANT(x[0] == 0 && x[999] == 0 && (uintptr_t)x % 4096 == 0);
        d->kernels->fill(d, x, 1000, 2.5f);
        WANT(device_sync(d) == 0);
        WANT(x[0] == 2.5f && x[999] == 2.5f);
    }
    buffer_close(&b[0]);
    d->kernels->fill(d, b[1].base, 1000, 3.5f); /* closing waits for it */
    buffer_close(&b[1]);
    WANT(device_sync(d) == 0);
    device_close(d);
    return NULL;
}

static const char *no_pinning_at_all(void)
{
    struct device *d;
    struct buffer b;
    WANT(device_cuda_open(&d, 0) == 0);
    WANT(buffer_open(&b, d, PLACE_PINNED, 100, "slots") == -ENOMEM);
    WANT(!strncmp(err_text(), "slots: cudaHostAlloc: ", 22));
    buffer_close(&b);
    device_close(d);
    return NULL;
}

static const char *pinned_in_place(void)
{
    struct gpu_info info;
    WANT(device_cuda_info(0, &info) == 0 && info.pins);
    return NULL;
}

/* The first error stays, with the call's text, and nothing hangs. */
static const char *sticky_error(void)
{
    struct device *d;
    struct buffer b;
    WANT(device_cuda_open(&d, 0) == 0);
    WANT(buffer_open(&b, d, PLACE_DEVICE, 400, "numbers") == 0);
    for (int i = 0; i < 4; i++)
        d->kernels->fill(d, b.base, 100, 1);
    for (int i = 0; i < 2; i++) {
        WANT(device_sync(d) == -EIO);
        WANT(strstr(err_text(), "illegal memory access") && strstr(err_text(), "error 700"));
        d->kernels->fill(d, b.base, 100, 1);
    }
    buffer_close(&b);
    device_close(d);
    return NULL;
}

static void emulated_settings(void **state)
{
    check_child("devices=0", no_gpu, NULL);
    check_child("old-driver", old_driver, NULL);
    check_child("devices=2", two_devices, NULL);
    check_child("memory=2", too_little_memory, NULL);
    check_child("fail-malloc=1", no_memory_at_all, NULL);
    check_child("", pinned_in_place, NULL);
    check_child("no-register", drivers_pages, NULL);
    check_child("fail-register", drivers_pages, NULL);
    check_child("elsewhere", drivers_pages, NULL);
    check_child("no-register,fail-host-alloc", no_pinning_at_all, NULL);
    check_child("fail-work=3", sticky_error, NULL);
}
#endif

static void none_says_why(void **state)
{
    int count = 7;
    struct device *d;
    if (have_gpu())
        skip();
    assert_int_equal(device_cuda_count(&count), -ENODEV);
    assert_int_equal(count, 0);
    assert_true(*err_text());
    assert_int_equal(device_cuda_open(&d, 0), -ENODEV);
    assert_null(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_and_copies),
        cmocka_unit_test(an_eventfd_says_when),
#ifdef EMULATED
        cmocka_unit_test(emulated_settings),
#endif
        cmocka_unit_test(none_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
