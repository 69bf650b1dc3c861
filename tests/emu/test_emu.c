/*
 * That the emulated GPU is no easier than a real one: mistakes that it must find, each beside the
 * same without the mistake, and the order of queued work in every setting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdint.h>

#include "tests/child.h"
#include "tests/emu/faults.h"

/* Of a child: a stream, device memory, pinned memory. */
static cudaStream_t stream, other;
static cudaEvent_t event;
static void *device, *pinned;
enum { BYTES = 4096 };

#define TRY(call)                                                     \
    do {                                                              \
        cudaError_t e_ = (call);                                      \
        if (e_ != cudaSuccess) {                                      \
            fprintf(stderr, "%s: %s\n", #call, cudaGetErrorName(e_)); \
            return "a call failed";                                   \
        }                                                             \
    } while (0)

static const char *open_all(void)
{
    TRY(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    TRY(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    TRY(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    TRY(cudaMalloc(&device, BYTES));
    TRY(cudaHostAlloc(&pinned, BYTES, cudaHostAllocMapped));
    memset(pinned, 0, BYTES);
    return NULL;
}

static const char *close_all(void)
{
    TRY(cudaStreamSynchronize(stream));
    TRY(cudaStreamSynchronize(other));
    TRY(cudaFree(device));
    TRY(cudaFreeHost(pinned));
    TRY(cudaEventDestroy(event));
    TRY(cudaStreamDestroy(stream));
    TRY(cudaStreamDestroy(other));
    return NULL;
}

static const char *const orders[] = {"threads=fwd", "threads=rev", "threads=rand,seed=1",
                                     "threads=rand,seed=2", NULL};
static const char *const interleavings[] = {"streams=lazy",
                                            "streams=eager",
                                            "streams=rand,seed=1",
                                            "streams=rand,seed=2",
                                            "streams=rand,seed=3",
                                            "streams=rand,seed=4",
                                            NULL};

/* A child's function, in each setting, and whether it must, or in one of them must not, go well. */
static void in_each(const char *const setting[], const char *(*fn)(void))
{
    for (; *setting; setting++)
        check_child(*setting, fn, NULL);
}

static bool goes_wrong(const char *setting, const char *(*fn)(void))
{
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        setenv("CUDA_EMU", setting, 1);
        alarm(60);
        _exit(fn() ? 3 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 3;
}

static void wrong_somewhere(const char *const setting[], const char *(*fn)(void))
{
    for (; *setting; setting++)
        if (goes_wrong(*setting, fn))
            return;
    fail_msg("a mistake went unnoticed in every setting");
}

/* ---- within a kernel ---- */

static const char *neighbours(int barrier)
{
    const char *wrong = open_all();
    TRY(faults_neighbours(stream, pinned, barrier));
    TRY(cudaStreamSynchronize(stream));
    const int *out = pinned;
    for (int i = 0; i < 96 && !wrong; i++)
        if (out[i] != (i + 1) % 96)
            wrong = "a thread read its neighbour too early";
    return wrong ? wrong : close_all();
}

static const char *with_barrier(void)
{
    return neighbours(1);
}

static const char *without_barrier(void)
{
    return neighbours(0);
}

static void barriers(void **state)
{
    in_each(orders, with_barrier);
    for (int i = 0; orders[i]; i++)
        assert_true(goes_wrong(orders[i], without_barrier));
}

static const char *unset_shared(void)
{
    const char *wrong = open_all();
    TRY(faults_unset(stream, pinned));
    TRY(cudaStreamSynchronize(stream));
    for (int i = 0; i < 96 && !wrong; i++)
        if (!isnan(((float *)pinned)[i]))
            wrong = "shared memory holds something";
    return wrong ? wrong : close_all();
}

static void shared_memory_begins_as_nan(void **state)
{
    check_child("", unset_shared, NULL);
}

static const char *whole_barrier(void)
{
    const char *wrong = open_all();
    TRY(faults_half_a_barrier(stream, 64));
    return wrong ? wrong : close_all();
}

static const char *half_a_barrier(void)
{
    open_all();
    TRY(faults_half_a_barrier(stream, 40)); /* the second warp is cut in two */
    return close_all();
}

static void barriers_that_not_all_reach(void **state)
{
    check_child("", whole_barrier, NULL);
    check_child("", half_a_barrier, "a barrier that not all reach");
}

static const char *shuffles(void)
{
    const char *wrong = open_all();
    int *out = pinned;
    TRY(faults_shuffle(stream, out, 0xffffffffu));
    TRY(cudaStreamSynchronize(stream));
    for (int i = 0; i < 32 && !wrong; i++)
        if (out[i] != (i ^ 1))
            wrong = "shuffled to another place";
    TRY(faults_segments(stream, out));
    TRY(cudaStreamSynchronize(stream));
    for (int i = 0; i < 64 && !wrong; i += 8)
        if (out[i] != 8 * (i % 64) + 28)
            wrong = "a segment's sum";
    TRY(faults_votes(stream, out));
    TRY(cudaStreamSynchronize(stream));
    if (out[0] != 32 || out[1] != 0x55555555)
        wrong = "votes";
    return wrong ? wrong : close_all();
}

static const char *wrong_mask(void)
{
    open_all();
    TRY(faults_shuffle(stream, pinned, 0xffff));
    return close_all();
}

static void warp_operations(void **state)
{
    in_each(orders, shuffles);
    check_child("", wrong_mask, "is not in its own warp mask");
}

/* ---- matrices ---- */

static const char *matrix(int halves, enum faults_matrix how, float more)
{
    const char *wrong = open_all();
    const float *out = pinned;
    TRY(faults_matrix(stream, pinned, halves, how, more));
    TRY(cudaStreamSynchronize(stream));
    for (int i = 0; i < 256 && !wrong; i++) {
        int m = how == MATRIX_TURNED ? i % 16 : i / 16, n = how == MATRIX_TURNED ? i / 16 : i % 16;
        float sum = 0;
        for (int k = 0; k < (halves ? 16 : 8); k++)
            sum += ((float)(m + k) + more) * (float)(k - n);
        if (!(out[i] == sum))
            wrong = "a product of matrices";
    }
    return wrong ? wrong : close_all();
}

static const char *matrices(void)
{
    const char *wrong = matrix(0, MATRIX_RIGHT, 0);
    wrong = wrong ? wrong : matrix(1, MATRIX_RIGHT, 0);
    wrong = wrong ? wrong : matrix(1, MATRIX_TURNED, 0);
    return wrong ? wrong : matrix(0, MATRIX_TURNED, 0.5f);
}

#define MATRIX(name, halves, how, more)         \
    static const char *name(void)               \
    {                                           \
        return matrix((halves), (how), (more)); \
    }
MATRIX(halves, 1, MATRIX_RIGHT, 0)
MATRIX(half_a_warp, 1, MATRIX_HALF_A_WARP, 0)
MATRIX(ended_lane, 0, MATRIX_ENDED, 0)
MATRIX(odd_row_of_halves, 1, MATRIX_ROW, 0)
MATRIX(odd_row, 0, MATRIX_ROW, 0)
MATRIX(odd_address, 0, MATRIX_ADDRESS, 0)
MATRIX(odd_address_of_halves, 1, MATRIX_ADDRESS, 0)
MATRIX(two_addresses, 1, MATRIX_ADDRESSES, 0)
MATRIX(unset_sums, 0, MATRIX_UNSET, 0)
MATRIX(not_rounded, 0, MATRIX_RIGHT, 0.001f)
MATRIX(tf32, 0, MATRIX_RIGHT, 0)

/* To nearest, halves away from zero, 10 bits of mantissa. */
static void tf32_is_rounded(void **state)
{
    static const float pairs[][2] = {
        {0, 0},
        {1, 1},
        {0x1.ffcp0f, 0x1.ffcp0f},
        {0x1.002p0f, 0x1.004p0f},
        {-0x1.002p0f, -0x1.004p0f},
        {0x1.001ffep0f, 0x1p0f},
        {0x1.006p-40f, 0x1.008p-40f},
        {0x1.ffep3f, 0x1p4f},
        {0x1.ffdp3f, 0x1.ffcp3f},
        {-INFINITY, -INFINITY},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        assert_true(faults_tf32(pairs[i][0]) == pairs[i][1]);
    assert_true(isnan(faults_tf32(NAN)));
}

static void warp_matrices(void **state)
{
    static const char *const cc80[] = {"cc=80,threads=fwd", "cc=80,threads=rev", "cc=80", NULL};
    in_each(cc80, matrices);
    check_child("cc=70", halves, NULL);
    check_child("cc=80", half_a_warp, "not all lanes of a warp come to the same operation");
    check_child("cc=80", ended_lane, "not all lanes of a warp come to the same operation");
    check_child("cc=80", odd_row_of_halves, "load_matrix_sync: rows whose length");
    check_child("cc=80", odd_row, "load_matrix_sync: rows whose length");
    check_child("cc=80", odd_address, "load_matrix_sync: an address");
    check_child("cc=80", odd_address_of_halves, "load_matrix_sync: an address");
    check_child("cc=80", two_addresses, "different addresses");
    check_child("cc=80", not_rounded, "a float that was not rounded to TF32");
    check_child("cc=75", tf32, "no such matrix operation");
    check_child("cc=61", halves, "no such matrix operation");
    assert_true(goes_wrong("cc=80", unset_sums));
}

/* ---- memory ---- */

static const char *touch(size_t index)
{
    open_all();
    TRY(faults_touch(stream, device, index));
    return close_all();
}

static const char *last_element(void)
{
    return touch(BYTES / sizeof(float) - 1);
}

static const char *behind_the_end(void)
{
    return touch(BYTES / sizeof(float));
}

static const char *before_the_start(void)
{
    return touch((size_t)-1);
}

static const char *freed_memory(void)
{
    open_all();
    void *mine;
    TRY(cudaMalloc(&mine, BYTES));
    TRY(cudaFree(mine));
    TRY(faults_touch(stream, mine, 0));
    return close_all();
}

static const char *shared(int index)
{
    open_all();
    TRY(faults_touch_shared(stream, device, index));
    return close_all();
}

static const char *last_shared(void)
{
    return shared(95);
}

static const char *behind_shared(void)
{
    return shared(96);
}

static const char *last_dynamic(void)
{
    open_all();
    TRY(faults_touch_dynamic(stream, device, 9, 40));
    return close_all();
}

static const char *behind_dynamic(void)
{
    open_all();
    TRY(faults_touch_dynamic(stream, device, 10, 40));
    return close_all();
}

static void kernels_out_of_bounds(void **state)
{
    check_child("", last_element, NULL);
    check_child("", behind_the_end, "AddressSanitizer");
    check_child("", before_the_start, "AddressSanitizer");
    check_child("", freed_memory, "of no allocation");
    check_child("", last_shared, NULL);
    check_child("", behind_shared, "faults.cu:"); /* UBSan, or ASan */
    check_child("", last_dynamic, NULL);
    check_child("", behind_dynamic, "AddressSanitizer: heap-buffer-overflow");
}

static const char *process_reads_device(void)
{
    open_all();
    TRY(faults_touch(stream, device, 0));
    TRY(cudaStreamSynchronize(stream));
    return *(volatile float *)device == 1 ? "the process read device memory" : "and wrongly";
}

static const char *kernel_reads_stack(void)
{
    open_all();
    float x = 1;
    const float *p = &x;
    TRY(faults_follow(stream, device, &p));
    return close_all();
}

static const char *leak(void)
{
    open_all();
    TRY(cudaStreamSynchronize(stream));
    exit(0); /* as a program that forgot cudaFree */
}

static void memory_of_the_other_side(void **state)
{
    check_child("", process_reads_device, "Segmentation fault");
    check_child("", kernel_reads_stack, "host memory that is not pinned");
    check_child("", leak, "never freed");
}

/* ---- order ---- */

static const char *pinned_is_read_late(void)
{
    const char *wrong = open_all();
    int *x = pinned;
    *x = 1;
    TRY(cudaMemcpyAsync(device, x, sizeof(*x), cudaMemcpyDefault, stream));
    *x = 2; /* a mistake: the copy has not run */
    TRY(cudaMemcpyAsync(x + 1, device, sizeof(*x), cudaMemcpyDefault, stream));
    if (x[1] != 0)
        wrong = "a copy ran before anybody waited for it";
    TRY(cudaStreamSynchronize(stream));
    if (x[1] != 2)
        wrong = "a copy from pinned memory ran at once";
    return wrong ? wrong : close_all();
}

static const char *pageable_is_read_at_once(void)
{
    const char *wrong = open_all();
    int x = 1, back = 0;
    TRY(cudaMemcpyAsync(device, &x, sizeof(x), cudaMemcpyDefault, stream));
    x = 2;
    TRY(cudaMemcpyAsync(&back, device, sizeof(x), cudaMemcpyDefault, stream));
    if (back != 1)
        wrong = "a copy to pageable memory was not there when the call returned";
    return wrong ? wrong : close_all();
}

/* The stream counts to 3; `other` takes the number away. */
static const char *two_streams(bool wait)
{
    const char *wrong = open_all();
    int *x = pinned;
    TRY(cudaMemsetAsync(device, 0, sizeof(*x), stream));
    for (int i = 0; i < 3; i++)
        TRY(faults_add_one(stream, device));
    TRY(cudaEventRecord(event, stream));
    if (wait)
        TRY(cudaStreamWaitEvent(other, event, 0));
    TRY(cudaMemcpyAsync(x, device, sizeof(*x), cudaMemcpyDefault, other));
    TRY(cudaEventRecord(event, other));
    if (wait)
        TRY(cudaStreamWaitEvent(stream, event, 0));
    TRY(faults_add_one(stream, device));
    TRY(cudaStreamSynchronize(other));
    if (*x != 3)
        wrong = "another stream's copy came too early or too late";
    return wrong ? wrong : close_all();
}

static const char *with_event(void)
{
    return two_streams(true);
}

static const char *without_event(void)
{
    return two_streams(false);
}

static void host_fn(void *arg)
{
    ++*(int *)arg;
}

static const char *polls(void)
{
    const char *wrong = open_all();
    int called = 0, turns = 0;
    TRY(faults_add_one(stream, pinned));
    TRY(cudaEventRecord(event, stream));
    while (cudaEventQuery(event) == cudaErrorNotReady)
        turns++;
    if (*(int *)pinned != 1 || turns == 0)
        wrong = "an event that was queried";
    TRY(faults_add_one(stream, pinned));
    TRY(cudaLaunchHostFunc(stream, host_fn, &called));
    TRY(cudaStreamSynchronize(stream));
    if (called != 1 || *(int *)pinned != 2)
        wrong = "a host function";
    return wrong ? wrong : close_all();
}

static void queued_work(void **state)
{
    in_each(interleavings, pinned_is_read_late);
    in_each(interleavings, pageable_is_read_at_once);
    in_each(interleavings, with_event);
    wrong_somewhere(interleavings, without_event);
    in_each(interleavings, polls);
}

static const char *default_stream(void)
{
    open_all();
    TRY(cudaMemsetAsync(device, 0, BYTES, NULL));
    return close_all();
}

static void the_default_stream_is_refused(void **state)
{
    check_child("", default_stream, "default stream");
}

/* ---- graphs ---- */

static const char *graph(void)
{
    const char *wrong = open_all();
    cudaGraph_t g;
    cudaGraphExec_t exec;
    int *x = pinned;
    TRY(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    TRY(faults_add_one(stream, x));
    TRY(cudaEventRecord(event, stream));
    TRY(cudaStreamWaitEvent(other, event, 0));
    TRY(cudaMemcpyAsync(device, x, sizeof(*x), cudaMemcpyDefault, other));
    TRY(cudaEventRecord(event, other));
    TRY(cudaStreamWaitEvent(stream, event, 0));
    TRY(faults_add_one(stream, x));
    TRY(cudaStreamEndCapture(stream, &g));
    TRY(cudaGraphInstantiateWithFlags(&exec, g, 0));
    TRY(cudaGraphDestroy(g));
    for (int i = 0; i < 3; i++)
        TRY(cudaGraphLaunch(exec, stream));
    TRY(cudaMemcpyAsync(x + 1, device, sizeof(*x), cudaMemcpyDefault, stream));
    TRY(cudaStreamSynchronize(stream));
    if (x[0] != 6 || x[1] != 5)
        wrong = "a graph's work was lost, or came in another order";
    TRY(cudaGraphExecDestroy(exec));
    return wrong ? wrong : close_all();
}

static const char *wait_in_capture(void)
{
    const char *wrong = open_all();
    cudaGraph_t g;
    TRY(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    if (cudaStreamSynchronize(stream) != cudaErrorStreamCaptureUnsupported)
        wrong = "a capture waited";
    if (cudaStreamEndCapture(stream, &g) != cudaErrorStreamCaptureInvalidated || g)
        wrong = "a spoilt capture was kept";
    return wrong ? wrong : close_all();
}

static const char *stream_not_joined(void)
{
    const char *wrong = open_all();
    cudaGraph_t g;
    TRY(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    TRY(cudaEventRecord(event, stream));
    TRY(cudaStreamWaitEvent(other, event, 0));
    TRY(faults_add_one(other, pinned));
    if (cudaStreamEndCapture(stream, &g) != cudaErrorStreamCaptureUnmatched)
        wrong = "a stream that was not joined went unnoticed";
    return wrong ? wrong : close_all();
}

static void graphs(void **state)
{
    in_each(interleavings, graph);
    check_child("", wait_in_capture, NULL);
    check_child("", stream_not_joined, NULL);
}

/* ---- refusals ---- */

static const char *limits(void)
{
    const char *wrong = open_all();
    if (faults_too_many(stream, pinned) != cudaErrorInvalidConfiguration)
        wrong = "a block of 1025 threads";
    cudaGetLastError();
    if (faults_touch_dynamic(stream, pinned, 0, 50000) != cudaErrorInvalidValue)
        wrong = "more shared memory than was asked for";
    cudaGetLastError();
    if (faults_raise_shared(100000) != cudaErrorInvalidValue)
        wrong = "more shared memory than there is";
    cudaGetLastError();
    TRY(faults_raise_shared(50000));
    TRY(faults_touch_dynamic(stream, pinned, 0, 50000));
    return wrong ? wrong : close_all();
}

static void launch_limits(void **state)
{
    check_child("", limits, NULL);
}

static void settings_are_known_words(void **state)
{
    check_child("gpus=2", limits, "there is no setting \"gpus=2\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barriers),
        cmocka_unit_test(shared_memory_begins_as_nan),
        cmocka_unit_test(barriers_that_not_all_reach),
        cmocka_unit_test(warp_operations),
        cmocka_unit_test(warp_matrices),
        cmocka_unit_test(tf32_is_rounded),
        cmocka_unit_test(kernels_out_of_bounds),
        cmocka_unit_test(memory_of_the_other_side),
        cmocka_unit_test(queued_work),
        cmocka_unit_test(the_default_stream_is_refused),
        cmocka_unit_test(graphs),
        cmocka_unit_test(launch_limits),
        cmocka_unit_test(settings_are_known_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
