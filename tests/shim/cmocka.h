/*
 * The part of cmocka that the kernel tests use, for machines that the kernels are cross-compiled
 * for and that have no cmocka: scripts/check_aarch64.sh. A failure ends the program.
 */
#ifndef TESTS_SHIM_CMOCKA_H
#define TESTS_SHIM_CMOCKA_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

#define cmocka_unit_test(f) \
    {                       \
#f, f               \
    }

#define fail_msg(...)                                          \
    do {                                                       \
        fprintf(stderr, "%s:%d: error: ", __FILE__, __LINE__); \
        fprintf(stderr, __VA_ARGS__);                          \
        fprintf(stderr, "\n");                                 \
        exit(1);                                               \
    } while (0)

#define assert_true(c) ((c) ? (void)0 : shim_fail(__FILE__, __LINE__, #c))
#define assert_false(c) assert_true(!(c))
#define assert_null(p) assert_true(!(p))
#define assert_non_null(p) assert_true(p)
#define assert_ptr_equal(a, b) assert_true((const void *)(a) == (const void *)(b))
#define assert_string_equal(a, b) assert_true(strcmp(a, b) == 0)
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)
#define assert_int_equal(a, b) assert_true((uintmax_t)(a) == (uintmax_t)(b))
#define assert_in_range(v, low, high) \
    assert_true((uintmax_t)(v) >= (uintmax_t)(low) && (uintmax_t)(v) <= (uintmax_t)(high))

static inline void shim_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: error: %s\n", file, line, what);
    exit(1);
}

static inline int shim_run(const struct CMUnitTest *tests, size_t n, int (*setup)(void **state),
                           int (*teardown)(void **state))
{
    void *state = NULL;
    if (setup && setup(&state))
        return 1;
    for (size_t i = 0; i < n; i++) {
        printf("  %s\n", tests[i].name);
        fflush(stdout);
        tests[i].run(&state);
    }
    return teardown ? teardown(&state) : 0;
}

#define cmocka_run_group_tests(tests, setup, teardown) \
    shim_run(tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

#endif
