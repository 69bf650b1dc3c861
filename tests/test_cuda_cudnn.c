/*
 * Convolutions through cuDNN: what the engine hands it, and what it adds to its results. Of an
 * emulated GPU that is tests/emu/emu_cudnn.cpp; on a real one, NVIDIA's library where it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "kernels/cuda/device_cuda.h"
#include "tests/conv_check.h"

#ifdef EMULATED
#include <cudnn.h>
static int calls(void)
{
    return emu_cudnn_now.calls;
}
#else
/* A real library tells no count; each look finds one more. */
static int calls(void)
{
    static int looks;
    return ++looks;
}
#endif

static struct device *gpu(void)
{
    struct device *d = check_cuda();
    if (!d)
        skip();
    if (!cuda_of(d)->cudnn && device_cuda_use_cudnn(d, NULL) < 0) {
#ifdef EMULATED
        fail_msg("%s", err_text());
#else
        print_message("%s\n", err_text());
        skip();
#endif
    }
    return d;
}

static void cudnn_is_the_reference(void **state)
{
    /* n, c, h, w, k, kh, kw, sh, sw, ph, pw */
    static const struct conv_case cases[] = {
        {2, 3, 8, 8, 4, 3, 3, 1, 1, 1, 1},   {3, 4, 6, 9, 9, 3, 5, 1, 1, 2, 0},
        {2, 3, 11, 10, 7, 3, 3, 2, 1, 1, 1}, {1, 5, 7, 6, 17, 1, 1, 1, 1, 0, 0},
        {2, 4, 5, 6, 7, 2, 2, 2, 2, 0, 0},
    };
    struct device *d = gpu(), *ref = check_device("reference", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int transposed = 0; transposed < 2; transposed++) {
            int before = calls();
            conv_against_reference(d, ref, cases[i], transposed);
            assert_true(calls() > before);
        }
    device_close(ref);
}

/* A plan is made with the work area; what a call then queues is all that it does. */
static void results_are_the_same_twice(void **state)
{
    struct device *d = gpu();
    struct conv_data x = conv_data_new((struct conv_case){2, 6, 9, 9, 8, 3, 3, 1, 1, 1, 1}, 0);
    float *one = conv_backward_weights(d, &x, 1, -0.5f),
          *two = conv_backward_weights(d, &x, 1, -0.5f);
    check_same("weights' gradients by cuDNN", two, one, (x.n_weight + x.n_bias) * sizeof(*one));
    guarded_free(one);
    guarded_free(two);
    conv_data_free(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cudnn_is_the_reference),
        cmocka_unit_test(results_are_the_same_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
