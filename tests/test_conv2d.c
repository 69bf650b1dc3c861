/*
 * Convolutions of each instruction set against the reference: kernel sizes, strides and paddings,
 * images wider than high and kernels larger than images, few pixels and many channels, one channel
 * and many pixels (where sums are cut into chunks); and the same bits for any number of threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/conv_check.h"

static void shapes(void **state)
{
    /* n, c, h, w, k, kh, kw, sh, sw, ph, pw */
    static const struct conv_case cases[] = {
        {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0},    {2, 3, 8, 8, 4, 3, 3, 1, 1, 1, 1},
        {1, 3, 9, 13, 5, 3, 3, 1, 1, 1, 1},   {2, 5, 7, 6, 17, 1, 1, 1, 1, 0, 0},
        {3, 4, 6, 9, 9, 3, 5, 1, 1, 2, 0},    {2, 3, 11, 10, 7, 3, 3, 2, 2, 1, 1},
        {2, 3, 11, 10, 7, 3, 3, 2, 1, 1, 1},  {1, 2, 12, 13, 6, 5, 5, 3, 2, 2, 2},
        {1, 2, 9, 9, 3, 2, 2, 2, 2, 0, 0},    {2, 2, 9, 10, 3, 2, 3, 3, 4, 0, 1},
        {1, 4, 10, 10, 4, 1, 1, 2, 2, 0, 0},  {1, 4, 9, 9, 4, 1, 1, 2, 3, 1, 1},
        {1, 2, 3, 3, 2, 5, 5, 1, 1, 1, 1},    {1, 2, 2, 4, 3, 4, 4, 1, 1, 3, 2},
        {1, 3, 5, 5, 70, 3, 3, 1, 1, 1, 1},   {1, 30, 4, 4, 150, 3, 3, 1, 1, 1, 1},
        {4, 20, 2, 2, 65, 3, 3, 1, 1, 1, 1},  {2, 7, 5, 7, 129, 1, 1, 1, 1, 0, 0},
        {3, 19, 8, 8, 33, 3, 3, 1, 1, 1, 1},  {1, 65, 6, 5, 9, 3, 3, 2, 2, 1, 1},
        {2, 3, 16, 16, 16, 7, 7, 2, 2, 3, 3}, {5, 1, 12, 12, 2, 3, 3, 1, 1, 1, 1},
        {1, 2, 8, 8, 3, 3, 3, 4, 4, 1, 1},    {2, 3, 9, 12, 4, 3, 3, 3, 4, 1, 1},
        {2, 1, 1, 17, 3, 1, 3, 1, 2, 0, 1},   {1, 3, 64, 48, 8, 3, 3, 1, 1, 1, 1},
        {3, 2, 14, 14, 18, 3, 3, 1, 1, 0, 0}, {1, 12, 30, 30, 20, 1, 1, 1, 1, 0, 0},
    };
    conv_check_cases(cases, sizeof(cases) / sizeof(cases[0]), 0);
}

/*
 * Where Winograd's algorithm is taken: 3 x 3, no stride, enough channels and tiles (the wider the
 * vectors, the more it takes; the large ones here are as small as AVX2 takes them). Tiles of 4 and
 * of 2, images that they do not divide, each padding, more tiles than one step takes; few tiles and
 * many channels, whose weights are transformed job by job.
 */
static void winograd(void **state)
{
    static const struct conv_case cases[] = {
        {2, 32, 8, 8, 32, 3, 3, 1, 1, 1, 1},   {3, 37, 9, 7, 45, 3, 3, 1, 1, 1, 1},
        {20, 33, 2, 2, 50, 3, 3, 1, 1, 1, 1},  {9, 40, 3, 2, 33, 3, 3, 1, 1, 1, 1},
        {4, 35, 8, 11, 34, 3, 3, 1, 1, 0, 2},  {2, 34, 6, 6, 64, 3, 3, 1, 1, 0, 0},
        {1, 48, 4, 30, 36, 3, 3, 1, 1, 2, 1},  {12, 33, 13, 13, 35, 3, 3, 1, 1, 1, 1},
        {5, 64, 12, 12, 64, 3, 3, 1, 1, 1, 1}, {70, 64, 2, 2, 64, 3, 3, 1, 1, 1, 1},
        {16, 258, 4, 4, 40, 3, 3, 1, 1, 1, 1}, {16, 33, 4, 4, 514, 3, 3, 1, 1, 1, 1},
    };
    conv_check_cases(cases, sizeof(cases) / sizeof(cases[0]), 0);
}

/* Not the reference's, whose loops know of no threads. */
static void same_bits_for_any_threads(void **state)
{
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        if (!strcmp(*isa, "reference"))
            continue;
        conv_check_threads(*isa, (struct conv_case){3, 9, 20, 20, 40, 3, 3, 1, 1, 1, 1}, 0);
        conv_check_threads(*isa, (struct conv_case){1, 64, 5, 5, 90, 3, 3, 1, 1, 1, 1}, 0);
        conv_check_threads(*isa, (struct conv_case){4, 40, 12, 10, 36, 3, 3, 1, 1, 1, 1}, 0);
        conv_check_threads(*isa, (struct conv_case){2, 3, 60, 60, 12, 3, 3, 2, 2, 1, 1}, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(winograd),
        cmocka_unit_test(same_bits_for_any_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
