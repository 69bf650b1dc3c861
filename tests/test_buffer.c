/* Buffers and host memory: zeroed, aligned, refused with a sentence, kept from forked children
 * where pinned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/buffer.h"
#include "tests/check.h"

static struct device *dev;

static int open_device(void **state)
{
    dev = check_device("auto", 1);
    return 0;
}

static int close_device(void **state)
{
    device_close(dev);
    return 0;
}

static void zeroed_and_aligned(void **state)
{
    static const size_t sizes[] = {1,       4095,          4096,   4097, (2 << 20) - 1,
                                   2 << 20, (2 << 20) + 1, 9 << 20};
    for (int place = 0; place < PLACE_COUNT; place++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct buffer b;
            assert_int_equal(buffer_open(&b, dev, place, sizes[i], "test"), 0);
            assert_int_equal(b.bytes, sizes[i]);
            assert_int_equal(b.place, place);
            uintptr_t align = sizes[i] >= 2 << 20 ? 2 << 20 : 4096;
            assert_int_equal((uintptr_t)b.base % align, 0);
            const char *bytes = b.base;
            for (size_t k = 0; k < sizes[i]; k += k + 64 < sizes[i] ? 63 : 1)
                assert_int_equal(bytes[k], 0);
            memset(b.base, 0x11, b.bytes);
            buffer_close(&b);
            assert_null(b.base);
            buffer_close(&b);
        }
    }
}

static void nothing_is_allowed(void **state)
{
    struct buffer b;
    assert_int_equal(buffer_open(&b, dev, PLACE_HOST, 0, "test"), 0);
    assert_null(b.base);
    buffer_close(&b);
    struct buffer zero = {0};
    buffer_close(&zero);
}

static void too_much_is_refused(void **state)
{
    static const struct {
        size_t bytes;
        const char *text;
    } cases[] = {
        {(size_t)1 << 55, "32.0 PiB"},
        {SIZE_MAX, "16.0 EiB"},
        {SIZE_MAX - 4096, "16.0 EiB"},
    };
    for (int place = 0; place < PLACE_COUNT; place++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct buffer b;
            assert_int_equal(buffer_open(&b, dev, place, cases[i].bytes, "weights"), -ENOMEM);
            assert_non_null(strstr(err_text(), "weights: "));
            assert_non_null(strstr(err_text(), cases[i].text));
            assert_null(b.base);
            buffer_close(&b);
        }
    }
}

/* Whether a forked child finds this byte. The kernel refuses a missing page with EFAULT; where a
 * sanitizer has put something else into the hole, it is not our byte. */
static int child_sees(const void *p, char byte)
{
    pid_t pid = fork();
    if (pid == 0) {
        int fd[2];
        char got = 0;
        if (pipe(fd) < 0)
            _exit(2);
        _exit(write(fd[1], p, 1) == 1 && read(fd[0], &got, 1) == 1 && got == byte ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 0;
}

static void pinned_pages_do_not_fork(void **state)
{
    for (size_t bytes = 4096; bytes <= 4 << 20; bytes <<= 10) {
        struct buffer host, pinned;
        assert_int_equal(buffer_open(&host, dev, PLACE_HOST, bytes, "host"), 0);
        assert_int_equal(buffer_open(&pinned, dev, PLACE_PINNED, bytes, "pinned"), 0);
        memset(host.base, 'h', bytes);
        memset(pinned.base, 'p', bytes);
        assert_true(child_sees(host.base, 'h'));
        assert_false(child_sees(pinned.base, 'p'));
        buffer_close(&host);
        buffer_close(&pinned);
    }
}

/* A device that locks pages: counts, and fails where told to. */
static int pinned, pin_fails;
static void *pinned_at;

static int fake_pin(struct device *d, void *p, size_t bytes)
{
    if (pin_fails)
        return err_set(EPERM, "may not lock %zu bytes", bytes);
    pinned++;
    pinned_at = p;
    return 0;
}

static void fake_unpin(struct device *d, void *p, size_t bytes)
{
    assert_ptr_equal(p, pinned_at);
    pinned--;
}

static void pin_and_unpin(void **state)
{
    static const struct device_ops ops = {.name = "fake", .pin = fake_pin, .unpin = fake_unpin};
    struct device fake = {.ops = &ops};
    struct buffer b;
    assert_int_equal(buffer_open(&b, &fake, PLACE_HOST, 100, "slots"), 0);
    assert_int_equal(pinned, 0);
    buffer_close(&b);
    assert_int_equal(buffer_open(&b, &fake, PLACE_PINNED, 100, "slots"), 0);
    assert_int_equal(pinned, 1);
    buffer_close(&b);
    assert_int_equal(pinned, 0);

    pin_fails = 1;
    assert_int_equal(buffer_open(&b, &fake, PLACE_PINNED, 100, "slots"), -EPERM);
    assert_string_equal(err_text(), "slots: may not lock 100 bytes");
    assert_null(b.base);
    buffer_close(&b);
    pin_fails = 0;
}

/* A device whose driver pins pages of its own where it cannot lock ours. */
static char drivers_page[100];
static int drivers;

static int fake_pinned_alloc(struct device *d, void **p, size_t bytes)
{
    if (bytes > sizeof(drivers_page))
        return err_set(ENOMEM, "the driver has no %zu bytes", bytes);
    drivers++;
    *p = drivers_page;
    return 0;
}

static void fake_pinned_free(struct device *d, void *p, size_t bytes)
{
    assert_ptr_equal(p, drivers_page);
    assert_int_equal(bytes, sizeof(drivers_page));
    drivers--;
}

static void pages_of_the_driver(void **state)
{
    static const struct device_ops ops = {.name = "fake",
                                          .pin = fake_pin,
                                          .unpin = fake_unpin,
                                          .pinned_alloc = fake_pinned_alloc,
                                          .pinned_free = fake_pinned_free};
    struct device fake = {.ops = &ops};
    struct buffer b;
    assert_int_equal(buffer_open(&b, &fake, PLACE_PINNED, 100, "slots"), 0);
    assert_true(pinned == 1 && drivers == 0); /* where pages can be locked, they are */
    buffer_close(&b);
    pin_fails = 1;
    assert_int_equal(buffer_open(&b, &fake, PLACE_PINNED, 100, "slots"), 0);
    assert_true(b.base == drivers_page && pinned == 0 && drivers == 1);
    buffer_close(&b);
    assert_true(pinned == 0 && drivers == 0);
    buffer_close(&b);
    assert_int_equal(buffer_open(&b, &fake, PLACE_PINNED, 200, "slots"), -ENOMEM);
    assert_string_equal(err_text(), "slots: the driver has no 200 bytes");
    buffer_close(&b);
    pin_fails = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_and_aligned),       cmocka_unit_test(nothing_is_allowed),
        cmocka_unit_test(too_much_is_refused),      cmocka_unit_test(pin_and_unpin),
        cmocka_unit_test(pinned_pages_do_not_fork), cmocka_unit_test(pages_of_the_driver),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
