/*
 * Memory of models and passes: a step allocates nothing, and wherever an allocation fails at start,
 * the call says so in a sentence and leaks nothing. The linker puts the functions below in the
 * place of malloc and its kin (see the Makefile).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "models/build.h"
#include "tests/chain.h"

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
int __real_posix_memalign(void **p, size_t align, size_t bytes);
void __real_free(void *p);
void *__real_mmap(void *p, size_t bytes, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *p, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
int __wrap_posix_memalign(void **p, size_t align, size_t bytes);
void __wrap_free(void *p);
void *__wrap_mmap(void *p, size_t bytes, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *p, size_t bytes);

/* Of the whole process; only the test's own thread allocates while it looks. */
static struct {
    long calls;         /* allocations asked for */
    long fail_at;       /* this call fails; 0: none */
    long blocks, pages; /* now held: blocks of malloc, bytes of mmap */
} memory;

static bool refuse(void)
{
    if (++memory.calls != memory.fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

static void *counted(void *p)
{
    memory.blocks += p != NULL;
    return p;
}

void *__wrap_malloc(size_t bytes)
{
    return refuse() ? NULL : counted(__real_malloc(bytes));
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    return refuse() ? NULL : counted(__real_calloc(n, bytes));
}

void *__wrap_realloc(void *p, size_t bytes)
{
    if (refuse())
        return NULL;
    void *q = __real_realloc(p, bytes);
    memory.blocks += !p && q;
    return q;
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
    return refuse() ? NULL : counted(__real_aligned_alloc(align, bytes));
}

int __wrap_posix_memalign(void **p, size_t align, size_t bytes)
{
    if (refuse())
        return ENOMEM;
    int ret = __real_posix_memalign(p, align, bytes);
    memory.blocks += ret == 0;
    return ret;
}

void __wrap_free(void *p)
{
    memory.blocks -= p != NULL;
    __real_free(p);
}

void *__wrap_mmap(void *p, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    if (refuse())
        return MAP_FAILED;
    void *q = __real_mmap(p, bytes, prot, flags, fd, offset);
    memory.pages += q == MAP_FAILED ? 0 : (long)bytes;
    return q;
}

int __wrap_munmap(void *p, size_t bytes)
{
    memory.pages -= (long)bytes;
    return __real_munmap(p, bytes);
}

/* Every kind of layer. */
static int open_tiny(struct model **out, int codec)
{
    struct tensor in = tensor_f32(4, (int[]){1, 4, 8, 8});
    int ret = model_begin(out, "tiny", &in);
    if (ret < 0)
        return ret;
    struct model *m = *out;
    ret = model_add(m, conv2d_new(4, 6, 3, 1, 1, true, INIT_VGG), "a");
    if (ret == 0)
        ret = model_add(m, activation_new(ACT_LEAKY), "b");
    if (ret == 0)
        ret = model_add(m, maxpool_new(2, 2, 0, 0), "c");
    if (ret == 0)
        ret = codec_add(m, 6, codec);
    if (ret == 0)
        ret = model_add(m, avgpool_new(3, 3), "d");
    if (ret == 0)
        ret = model_add(m, flatten_new(), "e");
    if (ret == 0)
        ret = model_add(m, dropout_new(0.5f), "f");
    if (ret == 0)
        ret = model_add(m, linear_new(54, 5, INIT_PYTORCH), "g");
    if (ret == 0)
        ret = model_finish(m);
    if (ret < 0)
        model_close(m);
    return ret;
}

static struct model *tiny(void)
{
    struct model *m;
    CHECK(open_tiny(&m, 2) == 0);
    return m;
}

static void test_step_allocates_nothing(void **state)
{
    for (const char *const *isa = device_cpu_isas(); *isa; isa++) {
        struct device *d = check_device(*isa, 2);
        struct chain_how how = {.run = RUN_TRAIN,
                                .batch = 3,
                                .micro = 2,
                                .ncut = 1,
                                .cut = {6},
                                .sgd = {0.1f, 0.9f, 0}};
        struct chain *c = chain_open(tiny, d, &how);
        float *input = random_floats(6 * 4 * 8 * 8, 1, -1, 1);
        static const int32_t labels[] = {0, 1, 2, 3, 4, 0};
        long before = memory.calls;
        for (uint32_t step = 0; step < 3; step++)
            chain_step(c, input, labels, step == 1 ? 4 : 6, step);
        assert_int_equal(memory.calls, before);
        guarded_free(input);
        chain_close(c);
        device_close(d);
        assert_true(memory.calls > 20);
    }
}

static int start(struct device *d, bool registered)
{
    struct model_options opt = model_options_default();
    static float in[2 * 28 * 28];
    struct pass_ends ends = {.in = in};
    struct model *m = NULL;
    struct pass *p = NULL;
    int ret = registered ? model_open(&m, "small", &opt) : open_tiny(&m, 2);
    if (ret < 0)
        return ret;
    ret = model_bind(m, d, RUN_TRAIN, MODEL_GRADS_OWN);
    if (ret == 0)
        ret = pass_open(&p, m, RUN_TRAIN, 2, &ends);
    pass_close(p);
    model_close(m);
    return ret;
}

static void test_nth_allocation_fails(void **state)
{
    struct device *d = check_device("auto", 1);
    for (int registered = 0; registered < 2; registered++) {
        int ret = -1;
        for (long n = 1; ret != 0; n++) {
            long blocks = memory.blocks, pages = memory.pages;
            err_set(EIO, "%s", "");
            memory.fail_at = memory.calls + n;
            ret = start(d, registered);
            assert_int_equal(ret == 0, memory.calls < memory.fail_at);
            assert_true(ret == 0 || ret == -ENOMEM);
            assert_true(ret == 0 || strlen(err_text()) > 10);
            assert_int_equal(memory.blocks, blocks);
            assert_int_equal(memory.pages, pages);
            assert_true(ret != 0 || n > 15);
        }
        memory.fail_at = 0;
    }
    device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step_allocates_nothing),
        cmocka_unit_test(test_nth_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
