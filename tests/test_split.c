/*
 * Split equals whole: the losses and the merged weights of a training run over two, three and four
 * processes, through the real sockets, are the same bits as those of a run in one, for every cut of
 * the small model and many of VGG11, with dropout, micro-batches and either transport.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/split_run.h"

static char dir_split[64], dir_whole[64];

static struct split_run small_run(int k)
{
    return (struct split_run){
        .model = "small",
        .isa = getenv("SPLIT_ISA") ? getenv("SPLIT_ISA") : "auto",
        .dropout = 0.5f,
        .batch = 10,
        .micro_batches = k,
        .steps = 5,
        .samples = 36, /* batches of 10, 10, 10, 6, and the next epoch */
        .sgd = {.lr = 0.1f, .momentum = 0.9f, .weight_decay = 1e-3f},
        .dir = dir_whole,
    };
}

static void check_same(const struct split_run *split, const struct split_run *whole)
{
    char a[512], b[512];
    snprintf(a, sizeof(a), "%s/whole.safetensors", split->dir);
    snprintf(b, sizeof(b), "%s/whole.safetensors", whole->dir);
    for (int i = 0; i < whole->steps; i++)
        if (memcmp(&split->loss[i], &whole->loss[i], sizeof(double)))
            fail_msg("%s cut at %d: loss of step %d is %.17g, in one process %.17g", split->model,
                     split->cut[0], i, split->loss[i], whole->loss[i]);
    if (!split_same_files(a, b))
        fail_msg("%s cut at %d: weights differ", split->model, split->cut[0]);
    assert_int_equal(split->copied_bytes, 0);
}

/* r with these cuts against r without. */
static void check_cuts(const struct split_run *whole, enum net_transport transport, int ncut,
                       const int cut[])
{
    struct split_run r = *whole;
    r.dir = dir_split;
    r.transport = transport;
    r.ncut = ncut;
    memcpy(r.cut, cut, (size_t)ncut * sizeof(*cut));
    split_run(&r);
    check_same(&r, whole);
}

static void check_small(int k, float momentum)
{
    struct split_run whole = small_run(k);
    if (momentum == 0)
        whole.sgd = (struct sgd){.lr = 0.1f};
    split_run(&whole);
    assert_true(whole.loss[0] != whole.loss[1]);
    for (int cut = 0; cut <= 5; cut++)
        check_cuts(&whole, cut % 2 ? NET_POLL : NET_AUTO, 1, &cut);
    for (int cut = 1; cut <= 5; cut++)
        check_cuts(&whole, cut % 2 ? NET_AUTO : NET_POLL, 2, (int[]){0, cut});
    check_cuts(&whole, NET_AUTO, 2, (int[]){1, 4});
    check_cuts(&whole, NET_POLL, 2, (int[]){3, 5});
    check_cuts(&whole, NET_AUTO, 3, (int[]){0, 2, 4});
    check_cuts(&whole, NET_POLL, 3, (int[]){1, 3, 4});
}

static void test_small_one_micro_batch(void **state)
{
    (void)state;
    check_small(1, 0);
}

static void test_small_four_micro_batches(void **state)
{
    (void)state;
    check_small(4, 0);
}

static void test_small_momentum(void **state)
{
    (void)state;
    check_small(1, 0.9f);
}

/* More micro-batches than samples in the last batch. */
static void test_small_many_micro_batches(void **state)
{
    (void)state;
    struct split_run whole = small_run(8);
    split_run(&whole);
    check_cuts(&whole, NET_AUTO, 2, (int[]){0, 3});
}

/* VGG11 has 531 MB of weights: its runs are for the release build, where they take seconds. */
#ifdef SANITIZED
#define VGG_TESTS
#else
#define VGG_TESTS                                                             \
    cmocka_unit_test(test_vgg11), cmocka_unit_test(test_vgg11_micro_batches), \
        cmocka_unit_test(test_vgg11_codec),

static struct split_run vgg_run(int k, int codec)
{
    return (struct split_run){
        .model = "vgg11",
        .isa = getenv("SPLIT_ISA") ? getenv("SPLIT_ISA") : "auto",
        .codec = codec,
        .dropout = 0.5f,
        .batch = 3,
        .micro_batches = k,
        .steps = 2,
        .samples = 6,
        .sgd = {.lr = 0.01f},
        .dir = dir_whole,
    };
}

static void test_vgg11(void **state)
{
    (void)state;
    struct split_run whole = vgg_run(1, 0);
    split_run(&whole);
    check_cuts(&whole, NET_AUTO, 1, (int[]){23}); /* the folded layer's input crosses */
    check_cuts(&whole, NET_POLL, 2, (int[]){0, 6});
    check_cuts(&whole, NET_AUTO, 3, (int[]){2, 11, 22});
}

static void test_vgg11_micro_batches(void **state)
{
    (void)state;
    struct split_run whole = vgg_run(3, 0);
    split_run(&whole);
    check_cuts(&whole, NET_AUTO, 2, (int[]){7, 24});
}

/* The codec's units on both sides of the cut: equal to a run in one process with the same units. */
static void test_vgg11_codec(void **state)
{
    (void)state;
    struct split_run whole = vgg_run(1, 4);
    split_run(&whole);
    struct model *m = split_model(&whole, 0, -1);
    int cut = m->default_cut;
    model_close(m);
    check_cuts(&whole, NET_AUTO, 1, &cut);
}
#endif

/* Half precision on the wire is close, not equal. Relative errors of f16 are 2^-11 an activation
 * and gradient; the loss of five steps moves by far less than 1e-2 of itself. */
static void test_small_f16(void **state)
{
    (void)state;
    struct split_run whole = small_run(2), r = whole;
    whole.sgd = r.sgd = (struct sgd){.lr = 0.1f};
    split_run(&whole);
    r.dir = dir_split;
    r.wire = DTYPE_F16;
    r.ncut = 2;
    memcpy(r.cut, (int[]){0, 3}, 2 * sizeof(int));
    split_run(&r);
    for (int i = 0; i < r.steps; i++)
        if (!(fabs(r.loss[i] - whole.loss[i]) < 1e-2 * whole.loss[i]))
            fail_msg("step %d: loss %g over f16, %g whole", i, r.loss[i], whole.loss[i]);
    assert_true(r.loss[r.steps - 1] != whole.loss[r.steps - 1]);
    assert_true(r.copied_bytes > 0);
}

static int make_dirs(void **state)
{
    (void)state;
    /* gigabytes of weights come and go: in memory where that is possible */
    const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(dir_split, sizeof(dir_split), "%s/sparse-split-XXXXXX", root);
    snprintf(dir_whole, sizeof(dir_whole), "%s/sparse-whole-XXXXXX", root);
    log_set_level(LOG_WARNING);
    return !mkdtemp(dir_split) || !mkdtemp(dir_whole);
}

static int remove_dirs(void **state)
{
    (void)state;
    char command[256];
    snprintf(command, sizeof(command), "rm -r %s %s", dir_split, dir_whole);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_small_one_micro_batch),
                                       cmocka_unit_test(test_small_four_micro_batches),
                                       cmocka_unit_test(test_small_momentum),
                                       cmocka_unit_test(test_small_many_micro_batches),
                                       cmocka_unit_test(test_small_f16),
                                       VGG_TESTS};
    return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
