/*
 * infer as a user meets it, with the small model: what was learned, and the answers as text, JSON
 * and a file.
 */
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/cli.h"

static struct cli r;

/* Parses the lines of infer --json; returns the predictions of all requests, row by row. */
static size_t check_json(char *text, int32_t *predicted, size_t most)
{
    size_t n = 0;
    long long correct = 0, lines = 0;
    for (char *save, *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        json_t *j = json_loads(line, 0, NULL), *summary, *p, *l, *v;
        assert_non_null(j);
        if ((summary = json_object_get(j, "summary"))) {
            assert_int_equal(json_integer_value(json_object_get(summary, "samples")), (long long)n);
            assert_int_equal(json_integer_value(json_object_get(summary, "correct")), correct);
            assert_int_equal(json_integer_value(json_object_get(summary, "requests")), lines);
            double accuracy = json_real_value(json_object_get(summary, "accuracy"));
            assert_true(fabs(accuracy - (double)correct / (double)n) < 1e-12);
            json_decref(j);
            assert_null(strtok_r(NULL, "\n", &save));
            return n;
        }
        p = json_object_get(j, "predictions");
        l = json_object_get(j, "labels");
        assert_int_equal(json_array_size(p), json_array_size(l));
        assert_int_equal(json_integer_value(json_object_get(j, "request")), ++lines);
        assert_true(json_real_value(json_object_get(j, "latency_ms")) > 0);
        size_t i;
        json_array_foreach(p, i, v) {
            assert_true(n < most);
            predicted[n++] = (int32_t)json_integer_value(v);
            correct += json_integer_value(v) == json_integer_value(json_array_get(l, i));
        }
        json_decref(j);
    }
    fail_msg("no summary");
    return 0;
}

/* Learns the embedded data far better than chance; the answers as text, JSON and a file agree. */
static void test_learns_and_infers(void **state)
{
    static int32_t predicted[2000];
    cli_expect(&r,
               "train --model small --dataset shapes --batches 150 --batch-size 32 --epochs 2 "
               "--lr 0.1 --momentum 0.9 --save w",
               0, "");
    cli_expect(&r,
               "infer --model small --dataset shapes --weights w --inferences 8 --batch-size 250",
               0, "");
    char *line = strstr(r.out, "top-1 accuracy ");
    assert_non_null(line);
    double percent;
    int right, all;
    assert_int_equal(sscanf(line, "top-1 accuracy %lf %% (%d of %d)", &percent, &right, &all), 3);
    assert_int_equal(all, 2000);
    assert_true(fabs(percent - 100.0 * right / all) < 0.006);
    if (percent < 25) /* chance is 10 */
        fail_msg("learned no more than %g %%", percent);

    cli_expect(&r,
               "infer --model small --dataset shapes --weights w --inferences 8 --batch-size 250 "
               "--json --output p",
               0, "");
    assert_int_equal(check_json(r.out, predicted, 2000), 2000);
    size_t bytes;
    char *file = cli_file("p", &bytes);
    uint64_t head;
    memcpy(&head, file, 8);
    assert_int_equal(bytes, 8 + head + sizeof(float) * 2000 * 10);
    char *shape = memmem(file + 8, head, "\"shape\":[2000,10]", 17);
    assert_non_null(shape);
    assert_non_null(memmem(file + 8, head, "\"predictions\"", 13));
    for (int i = 0; i < 2000; i++) {
        float row[10];
        int best = 0;
        memcpy(row, file + 8 + head + sizeof(row) * (size_t)i, sizeof(row));
        for (int c = 1; c < 10; c++)
            best = row[c] > row[best] ? c : best;
        assert_int_equal(best, predicted[i]);
    }
    free(file);
    unlink("p");
    unlink("w");
}

/* 0: all of the test split once; more requests than it holds: again from its start. */
static void test_infer_rounds(void **state)
{
    static int32_t predicted[54];
    cli_write_mnist();
    cli_expect(&r, "infer --model small --dataset mnist --inferences 0 --batch-size 5", 0, "");
    assert_non_null(strstr(r.out, "of 22)"));
    assert_non_null(strstr(r.out, "The weights are fresh, so the accuracy is chance"));
    assert_non_null(strstr(r.out, "\n5 requests in "));
    cli_expect(
        &r, "infer --model small --dataset mnist --inferences 12 --batch-size 5 --json --output p",
        0, "The weights are fresh");
    assert_int_equal(check_json(r.out, predicted, 54), 54);
    assert_memory_equal(predicted, predicted + 22, 22 * sizeof(*predicted));
    assert_memory_equal(predicted, predicted + 44, 10 * sizeof(*predicted));
    size_t bytes;
    char *file = cli_file("p", &bytes);
    assert_non_null(memmem(file, bytes, "\"shape\":[54,10]", 15));
    free(file);
    unlink("p");
    cli_remove("data");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns_and_infers),
        cmocka_unit_test(test_infer_rounds),
    };
    return cmocka_run_group_tests(tests, cli_enter, cli_leave);
}
