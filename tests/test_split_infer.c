/*
 * Split equals whole, in inference: the predictions of a run over two and three processes, through
 * the real sockets, are the same bytes as those of a run in one, with one request under way and
 * with several, where the last batch is short, at every cut of the small model and some of VGG11.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/split_run.h"

static struct split_run small_run(void)
{
    return (struct split_run){
        .model = "small",
        .isa = getenv("SPLIT_ISA") ? getenv("SPLIT_ISA") : "auto",
        .dropout = 0.5f,
        .batch = 10,
        .in_flight = 1,
        .steps = 8,
        .samples = 36, /* requests of 10, 10, 10, 6 samples, twice */
    };
}

/* The same predictions as `whole`, with these cuts. */
static void check_cuts(const struct split_run *whole, enum net_transport transport, int in_flight,
                       int ncut, const int cut[])
{
    struct split_run r = *whole;
    r.transport = transport;
    r.in_flight = in_flight;
    r.ncut = ncut;
    memcpy(r.cut, cut, (size_t)ncut * sizeof(*cut));
    split_run(&r);
    assert_int_equal(r.npredictions, whole->npredictions);
    if (memcmp(r.predictions, whole->predictions, r.npredictions * sizeof(float)))
        fail_msg("%s cut at %d, %d under way: predictions differ", r.model, cut[0], in_flight);
    assert_int_equal(r.copied_bytes, 0);
    free(r.predictions);
}

static void test_small(void **state)
{
    (void)state;
    struct split_run whole = small_run();
    split_run(&whole);
    assert_int_equal(whole.npredictions, 72 * 10);
    assert_true(whole.predictions[0] != whole.predictions[10]);
    for (int cut = 0; cut <= 5; cut++)
        for (int k = 1; k <= 4; k += 3) {
            check_cuts(&whole, cut % 2 ? NET_POLL : NET_AUTO, k, 1, &cut);
            if (cut > 0)
                check_cuts(&whole, cut % 2 ? NET_AUTO : NET_POLL, k, 2, (int[]){0, cut});
        }
    check_cuts(&whole, NET_AUTO, 4, 2, (int[]){1, 4});
    check_cuts(&whole, NET_POLL, 4, 2, (int[]){3, 5});
    check_cuts(&whole, NET_AUTO, 3, 3, (int[]){0, 2, 4});
    check_cuts(&whole, NET_AUTO, 64, 3, (int[]){1, 3, 4}); /* more than there are requests */
    free(whole.predictions);
}

/* f16 on the way forward: relative errors of 2^-11 an activation. Predictions come back in f32. */
static void test_small_f16(void **state)
{
    (void)state;
    struct split_run whole = small_run(), r;
    split_run(&whole);
    r = whole;
    r.wire = DTYPE_F16;
    r.in_flight = 2;
    r.ncut = 2;
    memcpy(r.cut, (int[]){0, 3}, 2 * sizeof(int));
    split_run(&r);
    double error = 0, sum = 0;
    for (size_t i = 0; i < r.npredictions; i++) {
        double d = (double)r.predictions[i] - (double)whole.predictions[i];
        error += d * d;
        sum += (double)whole.predictions[i] * (double)whole.predictions[i];
    }
    assert_true(error > 0 && error < 1e-6 * sum);
    assert_true(r.copied_bytes > 0);
    free(r.predictions);
    free(whole.predictions);
}

static void test_too_many_at_once(void **state)
{
    (void)state;
    struct split_run r = small_run();
    struct node node;
    struct stream *s;
    split_node_open(&node, &r, 0, 3);
    struct stream_plan plan = {.batch = 2, .in_flight = CHANNEL_MAX_SLOTS + 1, .to_next = true};
    assert_int_equal(stream_open(&s, &node, &plan), -EPROTO);
    assert_non_null(strstr(err_text(), "65 requests"));
    plan = (struct stream_plan){.batch = 99, .micro_batches = 65, .to_next = true};
    assert_int_equal(stream_open(&s, &node, &plan), -EPROTO);
    split_node_close(&node);
}

/* VGG11 has 531 MB of weights: its runs are for the release build. */
#ifdef SANITIZED
#define VGG_TESTS
#else
#define VGG_TESTS cmocka_unit_test(test_vgg11),

static void test_vgg11(void **state)
{
    (void)state;
    struct split_run whole = small_run();
    whole.model = "vgg11";
    whole.batch = 2;
    whole.samples = 5;
    whole.steps = 3;
    split_run(&whole);
    check_cuts(&whole, NET_AUTO, 4, 1, &(int){6});
    check_cuts(&whole, NET_AUTO, 1, 2, (int[]){0, 11});
    check_cuts(&whole, NET_POLL, 2, 2, (int[]){6, 24});
    free(whole.predictions);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_small),
                                       cmocka_unit_test(test_small_f16),
                                       cmocka_unit_test(test_too_many_at_once), VGG_TESTS};
    log_set_level(LOG_WARNING);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
