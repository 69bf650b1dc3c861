/* The drawn data set: a pure function of (seed, split, number), balanced, its labels
 * not trivial to find. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "datasets/dataset.h"
#include "tests/refusal.h"

enum { SMALL = 28 * 28, COLOUR = 3 * 32 * 32 };

static struct dataset *open_shapes(enum dataset_split split, int c, uint64_t seed)
{
    struct dataset *ds;
    struct dataset_want want = {.name = "shapes",
                                .data_dir = "/nowhere",
                                .split = split,
                                .c = c,
                                .h = c == 3 ? 32 : 28,
                                .w = c == 3 ? 32 : 28,
                                .seed = seed};
    assert_ok(dataset_open(&ds, &want));
    return ds;
}

static void test_pure(void **state)
{
    static float a[4][COLOUR], b[COLOUR];
    int32_t label[4], again;
    const uint32_t index[4] = {49999, 0, 7, 7};
    struct dataset *ds = open_shapes(DATASET_TRAIN, 3, 1), *same = open_shapes(DATASET_TRAIN, 3, 1);
    struct dataset *seed = open_shapes(DATASET_TRAIN, 3, 2),
                   *test = open_shapes(DATASET_TEST, 3, 1);
    assert_int_equal(ds->count, 50000);
    assert_int_equal(test->count, 10000);
    assert_int_equal(ds->classes, 10);
    assert_string_equal(ds->class_name[5], "star");
    dataset_read(ds, index, 4, a[0], label);
    assert_memory_equal(a[2], a[3], COLOUR * sizeof(float));
    for (int i = 2; i >= 0; i--) { /* alone, in another order, by another instance */
        dataset_read(same, index + i, 1, b, &again);
        assert_memory_equal(a[i], b, COLOUR * sizeof(float));
        assert_int_equal(label[i], again);
    }
    assert_memory_not_equal(a[0], a[1], COLOUR * sizeof(float));
    dataset_read(seed, index + 1, 1, b, &again);
    assert_memory_not_equal(a[1], b, COLOUR * sizeof(float));
    dataset_read(test, index + 1, 1, b, &again);
    assert_memory_not_equal(a[1], b, COLOUR * sizeof(float));
    dataset_close(ds);
    dataset_close(same);
    dataset_close(seed);
    dataset_close(test);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* No two of the first samples are the same picture, and another seed is other figures, not other
 * noise on the same. */
static void test_all_differ(void **state)
{
    enum { COUNT = 3000 };
    static float image[SMALL], sum[COUNT];
    int same_label = 0;
    struct dataset *ds = open_shapes(DATASET_TRAIN, 1, 1), *seed = open_shapes(DATASET_TRAIN, 1, 2);
    for (uint32_t i = 0; i < COUNT; i++) {
        int32_t label, other;
        dataset_read(seed, &i, 1, image, &other);
        dataset_read(ds, &i, 1, image, &label);
        same_label += label == other;
        for (int p = 0; p < SMALL; p++)
            sum[i] += image[p] * (float)(p + 1);
    }
    assert_in_range(same_label, COUNT / 10 - 90, COUNT / 10 + 90); /* 300 +- 16 by chance */
    qsort(sum, COUNT, sizeof(sum[0]), by_value);
    int equal = 0;
    for (int i = 1; i < COUNT; i++)
        equal += sum[i] == sum[i - 1];
    assert_true(equal < 30); /* sums that are equal by chance */
    dataset_close(ds);
    dataset_close(seed);
}

/* Every class equally often (of 10,000 draws a count strays from 1,000 by 30, one standard
 * deviation), every value where those of normalised pictures are, and neither dark nor flat over
 * all. */
static void check_statistics(int c, float low, float high)
{
    int n = 10000, per_class[10] = {0}, row = c == 3 ? COLOUR : SMALL;
    float *image = malloc((size_t)row * sizeof(float));
    double sum = 0, squares = 0;
    struct dataset *ds = open_shapes(DATASET_TEST, c, 1);
    for (uint32_t i = 0; i < (uint32_t)n; i++) {
        int32_t label = -1;
        dataset_read(ds, &i, 1, image, &label);
        assert_in_range(label, 0, 9);
        per_class[label]++;
        for (int p = 0; p < row; p++) {
            if (!(image[p] > low && image[p] < high)) /* NaN too */
                fail_msg("sample %u: value %d is %g", i, p, (double)image[p]);
            sum += image[p];
            squares += image[p] * image[p];
        }
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(per_class[i], 1000 - 150, 1000 + 150);
    double mean = sum / n / row, spread = sqrt(squares / n / row - mean * mean), range = high - low;
    assert_true(spread > range / 12 && mean > low + range / 4 && mean < high - range / 4);
    dataset_close(ds);
    free(image);
}

static void test_statistics(void **state)
{
    check_statistics(1, -0.23f, 1.23f);
    check_statistics(3, -4.51f, 4.85f);
}

/* The label says what is drawn: the nearest of ten class means (a linear classifier) finds it far
 * more often than chance, but a linear classifier must not solve the set. */
static void test_labels_mean_something(void **state)
{
    enum { TRAIN = 4000, TEST = 1000 };
    static float mean[10][SMALL], image[SMALL];
    int count[10] = {0}, right = 0;
    int32_t label;
    struct dataset *train = open_shapes(DATASET_TRAIN, 1, 1),
                   *test = open_shapes(DATASET_TEST, 1, 1);
    for (uint32_t i = 0; i < TRAIN; i++) {
        dataset_read(train, &i, 1, image, &label);
        count[label]++;
        for (int p = 0; p < SMALL; p++)
            mean[label][p] += image[p];
    }
    for (uint32_t i = 0; i < TEST; i++) {
        dataset_read(test, &i, 1, image, &label);
        int best = 0;
        double best_distance = INFINITY;
        for (int k = 0; k < 10; k++) {
            double distance = 0;
            for (int p = 0; p < SMALL; p++) {
                double d = (double)image[p] - mean[k][p] / count[k];
                distance += d * d;
            }
            if (distance < best_distance)
                best = k, best_distance = distance;
        }
        right += best == label;
    }
    assert_in_range(right, TEST * 3 / 10, TEST * 8 / 10);
    dataset_close(train);
    dataset_close(test);
}

static void test_refusals(void **state)
{
    struct dataset *ds;
    struct dataset_want want = {.name = "shapes", .data_dir = "x", .c = 3, .h = 28, .w = 28};
    assert_refused(dataset_open(&ds, &want), EINVAL, "3x32x32 and 1x28x28", "3x28x28");
    assert_null(ds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pure),       cmocka_unit_test(test_all_differ),
        cmocka_unit_test(test_statistics), cmocka_unit_test(test_labels_mean_something),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
