/* Transposed convolutions of each instruction set against the reference, as test_conv2d.c. */
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
        {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0},   {2, 3, 4, 5, 6, 2, 2, 2, 2, 0, 0},
        {1, 5, 6, 5, 3, 3, 3, 1, 1, 1, 1},   {2, 4, 5, 6, 7, 3, 3, 2, 2, 1, 1},
        {1, 3, 4, 4, 9, 4, 4, 2, 2, 1, 1},   {1, 2, 5, 3, 4, 2, 3, 3, 4, 0, 0},
        {1, 2, 3, 4, 2, 1, 1, 2, 2, 0, 0},   {2, 9, 8, 8, 17, 3, 3, 1, 1, 0, 0},
        {1, 40, 3, 3, 70, 3, 3, 1, 1, 1, 1}, {2, 3, 5, 5, 4, 5, 3, 2, 1, 2, 1},
        {2, 64, 7, 7, 16, 1, 1, 1, 1, 0, 0},
    };
    conv_check_cases(cases, sizeof(cases) / sizeof(cases[0]), 1);
}

static void same_bits_for_any_threads(void **state)
{
    for (const char *const *isa = device_cpu_isas(); *isa; isa++)
        conv_check_threads(*isa, (struct conv_case){2, 12, 15, 15, 30, 4, 4, 2, 2, 1, 1}, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(same_bits_for_any_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
