/* The order of batches: in order, shuffled, short, limited. The data set is a fake whose sample i
 * is the number i. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "datasets/dataset.h"
#include "tests/refusal.h"

static void number_read(struct dataset *ds, const uint32_t *index, int n, float *images,
                        int32_t *labels)
{
    for (int i = 0; i < n; i++) {
        assert_true(index[i] < ds->count);
        images[i] = (float)index[i];
        labels[i] = (int32_t)index[i];
    }
}

static const struct dataset_ops ops = {.name = "numbers", .read = number_read};
static struct dataset numbers = {.ops = &ops, .count = 103, .classes = 103, .c = 1, .h = 1, .w = 1};

/* The labels of one epoch, in micro-batches of `micro`; returns how many. */
static int read_epoch(struct loader *l, uint64_t epoch, int micro, int32_t *labels)
{
    float images[64];
    int total = 0;
    for (uint64_t b = 0; b < l->batches; b++)
        for (int first = 0, n; first < loader_samples(l, b); first += n) {
            n = loader_samples(l, b) - first < micro ? loader_samples(l, b) - first : micro;
            loader_read(l, epoch, b, first, n, images, labels + total);
            assert_true(images[0] == (float)labels[total]);
            total += n;
        }
    return total;
}

static void test_in_order(void **state)
{
    struct loader l;
    int32_t labels[128];
    assert_ok(loader_open(&l, &numbers, 10, 0, false, 1));
    assert_int_equal(l.batches, 11);
    assert_int_equal(loader_samples(&l, 0), 10);
    assert_int_equal(loader_samples(&l, 10), 3); /* the short last one */
    for (int micro = 1; micro <= 10; micro += 3) {
        assert_int_equal(read_epoch(&l, 5, micro, labels), 103);
        for (int i = 0; i < 103; i++)
            assert_int_equal(labels[i], i);
    }
    loader_close(&l);
}

static void test_limits(void **state)
{
    struct loader l;
    int32_t labels[128];
    assert_ok(loader_open(&l, &numbers, 10, 4, false, 1));
    assert_int_equal(l.batches, 4);
    assert_int_equal(read_epoch(&l, 0, 10, labels), 40);
    assert_int_equal(labels[39], 39);
    loader_close(&l);
    assert_ok(loader_open(&l, &numbers, 10, 64, false, 1)); /* more than there are */
    assert_int_equal(l.batches, 11);
    loader_close(&l);
    assert_ok(loader_open(&l, &numbers, 103, 0, false, 1)); /* exactly one */
    assert_int_equal(l.batches, 1);
    assert_int_equal(loader_samples(&l, 0), 103);
    loader_close(&l);
    assert_ok(loader_open(&l, &numbers, 1 << 20, 0, false, 1));
    assert_int_equal(l.batches, 1);
    assert_int_equal(loader_samples(&l, 0), 103);
    loader_close(&l);
    assert_refused(loader_open(&l, &numbers, 0, 0, false, 1), EINVAL, "batch of 0");
    loader_close(&l);
}

static void test_shuffle(void **state)
{
    struct loader l, other;
    int32_t first[128], second[128], again[128];
    assert_ok(loader_open(&l, &numbers, 10, 0, true, 7));
    assert_ok(loader_open(&other, &numbers, 16, 0, true, 7)); /* the batch size changes no order */
    assert_int_equal(read_epoch(&l, 0, 10, first), 103);
    assert_int_equal(read_epoch(&l, 1, 4, second), 103);
    bool seen[103] = {false};
    for (int i = 0; i < 103; i++) {
        assert_false(seen[first[i]]);
        seen[first[i]] = true;
    }
    assert_memory_not_equal(first, second, 103 * sizeof(int32_t));
    read_epoch(&l, 0, 10, again); /* an epoch's order does not depend on what was read before */
    assert_memory_equal(first, again, 103 * sizeof(int32_t));
    read_epoch(&other, 1, 16, again);
    assert_memory_equal(second, again, 103 * sizeof(int32_t));
    loader_close(&other);
    assert_ok(loader_open(&other, &numbers, 10, 0, true, 8));
    read_epoch(&other, 0, 10, again);
    assert_memory_not_equal(first, again, 103 * sizeof(int32_t));
    loader_close(&other);
    loader_close(&l);
}

/* Over many epochs each number comes to each place equally often: chi-square of the 6 x 6 counts of
 * 6,000 epochs, 25 degrees of freedom (rows and columns are bound): above 60 once in 10,000 seeds.
 * All 720 orders occur. */
static void test_shuffle_is_fair(void **state)
{
    struct dataset six = numbers;
    six.count = 6;
    struct loader l;
    int count[6][6] = {{0}};
    bool order_seen[720] = {false};
    int orders = 0;
    assert_ok(loader_open(&l, &six, 6, 0, true, 3));
    for (uint64_t epoch = 0; epoch < 6000; epoch++) {
        int32_t labels[6] = {0};
        read_epoch(&l, epoch, 6, labels);
        int code = 0;
        for (int i = 0; i < 6; i++) {
            count[i][labels[i]]++;
            int smaller = 0;
            for (int j = i + 1; j < 6; j++)
                smaller += labels[j] < labels[i];
            code = code * (6 - i) + smaller;
        }
        orders += !order_seen[code];
        order_seen[code] = true;
    }
    double chi = 0;
    for (int place = 0; place < 6; place++)
        for (int number = 0; number < 6; number++) {
            double stray = count[place][number] - 1000.0;
            chi += stray * stray / 1000.0;
        }
    assert_true(chi < 60);
    assert_true(chi > 5); /* random, not dealt out */
    assert_int_equal(orders, 720);
    loader_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_shuffle),
        cmocka_unit_test(test_shuffle_is_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
