/*
 * Own kernels or cuDNN's, by measurement, on the emulated GPU: the faster one is taken and kept;
 * what cuDNN cannot do stays ours; what fails in a step is the device's error; nothing that a
 * recording must not hold is called in one. Its cuDNN is tests/emu's, with its faults.
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

enum { KEYS = 16 };

/* A book in memory. */
struct book {
    struct choice_book book; /* first */
    int finds, keeps;
    char key[KEYS][160];
    int second[KEYS];
    double ms[KEYS][2];
};

static int find(struct choice_book *b, const char *key)
{
    struct book *k = (struct book *)b;
    k->finds++;
    for (int i = 0; i < k->keeps; i++)
        if (!strcmp(k->key[i], key))
            return k->second[i];
    return -1;
}

static void keep(struct choice_book *b, const char *key, int second, const double ms[2])
{
    struct book *k = (struct book *)b;
    assert_true(k->keeps < KEYS);
    snprintf(k->key[k->keeps], sizeof(k->key[0]), "%s", key);
    k->second[k->keeps] = second;
    memcpy(k->ms[k->keeps++], ms, sizeof(k->ms[0]));
}

static struct device *opened(struct book *book)
{
    struct device *d;
    if (device_cuda_open(&d, 0) < 0 || device_cuda_use_cudnn(d, book ? &book->book : NULL) < 0)
        fail_msg("%s", err_text());
    emu_cudnn_now = (struct emu_cudnn_now){0};
    return d;
}

/* A convolution's arrays on the device, filled, and its work area. */
struct conv {
    struct device *d;
    struct conv2d_dims s;
    size_t ins, outs, weights;
    float *inp, *out, *weight;
    void *work;
    size_t work_bytes;
};

static float *array(struct device *d, size_t floats, uint32_t seed)
{
    void *p;
    float *from = random_floats(floats, seed, -1, 1);
    assert_int_equal(d->ops->alloc(d, &p, floats * sizeof(float)), 0);
    d->ops->copy(d, p, from, floats * sizeof(float));
    assert_int_equal(device_sync(d), 0);
    guarded_free(from);
    return p;
}

static struct conv conv_new(struct device *d, int n, int k)
{
    struct conv x = {.d = d, .s = {n, 1, 12, 12, k, 3, 3, 1, 1, 1, 1, 12, 12}};
    void *work;
    x.work_bytes = d->kernels->conv2d_work(d, &x.s, 1);
    assert_int_equal(d->ops->alloc(d, &work, x.work_bytes + 1), 0);
    x.work = work;
    x.ins = (size_t)n * 144;
    x.outs = (size_t)n * (size_t)k * 144;
    x.weights = (size_t)k * 9;
    x.inp = array(d, x.ins, 1);
    x.out = array(d, x.outs, 2);
    x.weight = array(d, x.weights, 3);
    return x;
}

static void conv_free(struct conv *x)
{
    x->d->ops->free(x->d, x->work, x->work_bytes + 1);
    x->d->ops->free(x->d, x->inp, x->ins * sizeof(float));
    x->d->ops->free(x->d, x->out, x->outs * sizeof(float));
    x->d->ops->free(x->d, x->weight, x->weights * sizeof(float));
}

/* Queues a forward; how many of its kernels were cuDNN's. */
static int forward(struct conv *x)
{
    int before = emu_cudnn_now.calls;
    x->d->kernels->conv2d_forward(x->d, x->out, x->inp, x->weight, NULL, &x->s, ACT_NONE, x->work);
    return emu_cudnn_now.calls - before;
}

static float *out_of(struct conv *x)
{
    float *out = guarded_floats(x->outs);
    x->d->ops->copy(x->d, out, x->out, x->outs * sizeof(float));
    if (device_sync(x->d) < 0)
        fail_msg("%s", err_text());
    return out;
}

static void expect_chosen(struct device *d, int own, int cudnn)
{
    struct gpu_choices c[GPU_WORK_COUNT];
    device_cuda_choices(d, c);
    assert_int_equal(c[GPU_CONVOLUTIONS].own, own);
    assert_int_equal(c[GPU_CONVOLUTIONS].cudnn, cudnn);
}

static void the_faster_is_taken_and_kept(void **state)
{
    (void)state;
    struct book book = {.book = {find, keep}};
    struct device *d = opened(&book);
    struct conv fast = conv_new(d, 2, 2);
    assert_int_equal(book.keeps, 3); /* forward, gradient of the input, of the weights */
    emu_cudnn_now.slow_channels = 3;
    struct conv slow = conv_new(d, 2, 3);
    emu_cudnn_now.slow_channels = 0;
    expect_chosen(d, 3, 3);
    assert_int_equal(forward(&fast), 1);
    assert_int_equal(forward(&slow), 0);
    for (int i = 0; i < 6; i++)
        if (book.second[i] != (i < 3) || !(book.ms[i][0] > 0 && book.ms[i][1] > 0) ||
            (book.ms[i][1] < book.ms[i][0]) != (i < 3))
            fail_msg("%s: %d, %g and %g ms", book.key[i], book.second[i], book.ms[i][0],
                     book.ms[i][1]);
    conv_free(&fast);
    conv_free(&slow);
    device_close(d);

    d = opened(&book); /* what is slow now plays no part */
    emu_cudnn_now.slow_channels = 2;
    fast = conv_new(d, 2, 2);
    slow = conv_new(d, 2, 3);
    emu_cudnn_now.slow_channels = 0;
    assert_int_equal(book.keeps, 6);
    expect_chosen(d, 3, 3);
    assert_int_equal(forward(&fast), 1);
    assert_int_equal(forward(&slow), 0);
    conv_free(&fast);
    conv_free(&slow);
    device_close(d);
}

/* A short batch was not planned: our kernel computes it, in the same work area. */
static void a_short_batch_is_ours(void **state)
{
    (void)state;
    struct device *d = opened(NULL);
    struct conv x = conv_new(d, 3, 2);
    assert_int_equal(forward(&x), 1);
    float *whole = out_of(&x);
    x.s.n = 2;
    assert_int_equal(forward(&x), 0);
    float *some = out_of(&x);
    check_nmse("two samples of three", some, whole, (size_t)2 * 2 * 144, 1e-12);
    guarded_free(whole);
    guarded_free(some);
    conv_free(&x);
    device_close(d);
}

static void what_cudnn_cannot_do_is_ours(void **state)
{
    (void)state;
    struct book book = {.book = {find, keep}};
    struct device *d = opened(&book);
    emu_cudnn_now.no_algorithms = 1;
    struct conv x = conv_new(d, 2, 2);
    assert_int_equal(book.finds, 0); /* it is so in each run: nothing to keep */
    emu_cudnn_now = (struct emu_cudnn_now){.refuse = 1};
    struct conv y = conv_new(d, 2, 3);
    assert_int_equal(book.keeps, 3);
    for (int i = 0; i < 3; i++)
        assert_true(!book.second[i] && book.ms[i][1] < 0);
    expect_chosen(d, 6, 0);
    assert_int_equal(forward(&x) + forward(&y), 0);
    assert_int_equal(device_sync(d), 0); /* a measurement's failure is no error */
    conv_free(&x);
    conv_free(&y);
    device_close(d);
}

static void expect_error(struct device *d, const char *text)
{
    assert_true(device_sync(d) < 0);
    if (!strstr(err_text(), text))
        fail_msg("\"%s\" does not say: %s", err_text(), text);
}

/* Where cuDNN was asked for, an algorithm that does not exist is an error before any step. */
static void asked_for_but_not_there(void **state)
{
    (void)state;
    struct device *d = opened(NULL);
    struct conv2d_dims s = {1, 1, 4, 4, 1, 3, 3, 1, 1, 1, 1, 4, 4};
    emu_cudnn_now.no_algorithms = 1;
    d->kernels->conv2d_work(d, &s, 0);
    expect_error(d, "a deterministic forward convolution: CUDNN_STATUS_NOT_SUPPORTED");
    device_close(d);
}

static void a_failing_step_is_an_error(void **state)
{
    (void)state;
    struct device *d = opened(NULL);
    struct conv x = conv_new(d, 2, 2);
    emu_cudnn_now.refuse = 1;
    forward(&x);
    expect_error(d, "cudnnConvolutionForward: CUDNN_STATUS_EXECUTION_FAILED");
    conv_free(&x);
    device_close(d);
}

/* A convolution that has run may be recorded: nothing is made, asked for or loaded then. */
static void what_has_run_is_recorded(void **state)
{
    (void)state;
    struct device *d = opened(NULL);
    struct conv x = conv_new(d, 2, 2);
    forward(&x);
    float *once = out_of(&x);
    d->ops->record(d);
    assert_int_equal(forward(&x), 1);
    struct recording *r = d->ops->recorded(d);
    assert_non_null(r);
    d->kernels->fill(d, x.out, x.outs, 0);
    d->ops->replay(d, r);
    float *again = out_of(&x);
    check_same("replayed", again, once, x.outs * sizeof(float));
    d->ops->recording_free(d, r);
    guarded_free(once);
    guarded_free(again);
    conv_free(&x);
    device_close(d);
}

/* The emulated cuDNN refuses, so that the test above can fail. */
static void what_must_not_be_recorded_is_refused(void **state)
{
    (void)state;
    struct conv2d_dims other = {1, 1, 5, 5, 1, 3, 3, 1, 1, 1, 1, 5, 5};
    for (int what = 0; what < 3; what++) {
        struct device *d = opened(NULL);
        struct conv x = conv_new(d, 2, 2);
        cudnnHandle_t h = NULL;
        d->ops->record(d);
        if (what == 0)
            forward(&x); /* its first run */
        else if (what == 1)
            d->kernels->conv2d_work(d, &other, 0);
        else
            assert_int_not_equal(cudnnCreate(&h), CUDNN_STATUS_SUCCESS);
        assert_null(d->ops->recorded(d));
        expect_error(d, what == 0   ? "cudnnConvolutionForward"
                        : what == 1 ? "cudnnCreateTensorDescriptor"
                                    : "cudaStreamEndCapture");
        conv_free(&x);
        device_close(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_faster_is_taken_and_kept),
        cmocka_unit_test(a_short_batch_is_ours),
        cmocka_unit_test(what_cudnn_cannot_do_is_ours),
        cmocka_unit_test(asked_for_but_not_there),
        cmocka_unit_test(a_failing_step_is_an_error),
        cmocka_unit_test(what_has_run_is_recorded),
        cmocka_unit_test(what_must_not_be_recorded_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void)
{
    print_message("the faults are the emulated cuDNN's\n");
    return 77;
}
#endif
