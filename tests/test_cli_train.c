/*
 * train and infer as a user meets them, with the small model: the log, the same bytes from the same
 * seed, micro-batches, signals, a loss that is no number, what is learned, predictions as JSON and
 * as a file.
 */
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/cli.h"

enum { MAX_ROWS = 64 };

static struct cli r;

/* Train the small model on the embedded data with these words too; must end well. */
static void train(const char *words)
{
    char all[512];
    snprintf(all, sizeof(all), "train --model small --dataset shapes %s", words);
    cli_expect(&r, all, 0, "");
}

/* The losses of a log; checks the head, the steps' numbers and that each number is one float. */
static int read_log(const char *path, double loss[MAX_ROWS])
{
    size_t bytes;
    char *text = cli_file(path, &bytes), *p = text, again[64];
    int n = 0;
    assert_int_equal(strncmp(p, "step,loss\n", 10), 0);
    for (p += 10; *p; n++) {
        char *end = strchr(p, '\n'), *rest;
        assert_non_null(end);
        *end = 0;
        assert_true(n < MAX_ROWS);
        assert_int_equal(strtol(p, &rest, 10), n + 1);
        assert_int_equal(*rest, ',');
        loss[n] = strtod(rest + 1, &rest);
        assert_int_equal(*rest, 0);
        snprintf(again, sizeof(again), "%d,%.9g", n + 1, (double)(float)loss[n]);
        assert_string_equal(p, again);
        p = end + 1;
    }
    free(text);
    return n;
}

static void test_log(void **state)
{
    double loss[MAX_ROWS], mean = 0;
    train("--batches 3 --batch-size 5 --epochs 2 --log l");
    assert_int_equal(read_log("l", loss), 6);
    assert_non_null(strstr(r.out, "Trained 30 samples in "));
    /* ten classes, told apart by fresh weights: log 10 */
    assert_true(fabs(loss[0] - log(10)) < 0.3);
    for (int i = 0; i < 6; i++)
        mean += loss[i] / 3 * (i < 3);
    double printed;
    char *line = strstr(r.out, "Epoch 1 of 2: mean loss ");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "Epoch 1 of 2: mean loss %lf", &printed), 1);
    assert_true(fabs(printed - mean) < 1e-4);
    assert_non_null(strstr(r.out, "Epoch 2 of 2: mean loss "));
    assert_non_null(strstr(r.out, "First step "));
    unlink("l");
}

static void test_quiet_and_words(void **state)
{
    train("--batches 1 --batch-size 1 --quiet");
    assert_string_equal(r.err, "");
    assert_int_equal(strncmp(r.out, "Trained 1 samples", 17), 0);
    assert_null(strstr(r.out, "Epoch"));
    train("--batches 1 --batch-size 1 --threads 1");
    assert_non_null(strstr(r.out, "Using cpu ("));
    assert_non_null(strstr(r.out, ", 1 thread) for processing"));
    assert_non_null(strstr(r.out, "Training small model with 535818 parameters using cpu for "
                                  "processing"));
    assert_non_null(strstr(r.out, "Data set shapes, training split"));
}

/* The same call twice, and with other numbers of threads: the same bytes. Another seed: others. */
static void test_same_bytes(void **state)
{
    static const char common[] = "--batches 4 --batch-size 33 --epochs 2 --shuffle --lr 0.1";
    char words[256];
    snprintf(words, sizeof(words), "%s --threads 1 --log l1 --save w1", common);
    train(words);
    snprintf(words, sizeof(words), "%s --threads 1 --log l2 --save w2", common);
    train(words);
    snprintf(words, sizeof(words), "%s --threads 2 --log l3 --save w3", common);
    train(words);
    cli_same_files("l1", "l2");
    cli_same_files("w1", "w2");
    cli_same_files("l1", "l3");
    cli_same_files("w1", "w3");
    snprintf(words, sizeof(words), "%s --seed 2 --log l2", common);
    train(words);
    double a[MAX_ROWS], b[MAX_ROWS];
    assert_int_equal(read_log("l1", a), 8);
    assert_int_equal(read_log("l2", b), 8);
    for (int i = 0; i < 8; i++)
        assert_true(a[i] != b[i]);
    for (const char *const *f = (const char *const[]){"l1", "l2", "l3", "w1", "w2", "w3", NULL}; *f;
         f++)
        unlink(*f);
}

/* Gradients add up to the full batch's: the losses differ by rounding alone. Parts of unlike size.
 */
static void test_micro_batches(void **state)
{
    static const char *const how[] = {"1", "2", "3", "7", "22"};
    double loss[5][MAX_ROWS];
    for (int i = 0; i < 5; i++) {
        char words[256];
        snprintf(words, sizeof(words),
                 "--batches 12 --batch-size 22 --lr 0.1 --momentum 0.5 --weight-decay 1e-3 "
                 "--log l --micro-batches %s",
                 how[i]);
        train(words);
        assert_int_equal(read_log("l", loss[i]), 12);
        for (int step = 0; step < 12; step++)
            if (!(fabs(loss[i][step] - loss[0][step]) < 1e-4))
                fail_msg("%s micro-batches, step %d: %g, wanted %g", how[i], step + 1,
                         loss[i][step], loss[0][step]);
    }
    assert_true(fabs(loss[0][11] - loss[0][0]) > 1e-2); /* it did learn something meanwhile */
    unlink("l");
}

/* Both splits of a data set of 22 samples. */
static void make_small_data(void)
{
    static unsigned char pixels[22 * 28 * 28], labels[22];
    const int dim[] = {22, 28, 28};
    for (size_t i = 0; i < sizeof(pixels); i++)
        pixels[i] = (unsigned char)(i * i >> 5);
    for (int i = 0; i < 22; i++)
        labels[i] = (unsigned char)(i % 10);
    cli_make_folders("data/mnist");
    cli_write_idx("data/mnist/train-images-idx3-ubyte", dim, 3, pixels, sizeof(pixels));
    cli_write_idx("data/mnist/train-labels-idx1-ubyte", dim, 1, labels, sizeof(labels));
    cli_write_idx("data/mnist/t10k-images-idx3-ubyte", dim, 3, pixels, sizeof(pixels));
    cli_write_idx("data/mnist/t10k-labels-idx1-ubyte", dim, 1, labels, sizeof(labels));
}

/* 22 samples in batches of 10: the last holds 2, fewer than there are micro-batches. */
static void test_short_last_batch(void **state)
{
    double loss[MAX_ROWS] = {0}, one[MAX_ROWS] = {0};
    make_small_data();
    cli_expect(&r,
               "train --model small --dataset mnist --batches 0 --batch-size 10 --epochs 2 --log l "
               "--micro-batches 7",
               0, "");
    assert_non_null(strstr(r.out, "Trained 44 samples"));
    assert_int_equal(read_log("l", loss), 6);
    cli_expect(&r,
               "train --model small --dataset mnist --batches 0 --batch-size 10 --epochs 2 --log l",
               0, "");
    assert_int_equal(read_log("l", one), 6);
    for (int i = 0; i < 6; i++)
        assert_true(fabs(loss[i] - one[i]) < 1e-5);
    unlink("l");
    cli_remove("data");
}

/* A run begins with the weights that init writes for its seed, or with those of --weights. */
static void test_first_weights(void **state)
{
    cli_expect(&r, "init --model small --seed 3 --save fresh", 0, "");
    train("--batches 1 --batch-size 8 --seed 3 --lr 0 --save a");
    cli_same_files("fresh", "a");
    train("--batches 1 --batch-size 8 --seed 4 --lr 0 --weights fresh --save a");
    cli_same_files("fresh", "a");
    unlink("fresh");
    unlink("a");
}

/* A loss that is no number does not end the run, and cannot be overlooked. */
static void test_not_finite(void **state)
{
    train("--batches 4 --batch-size 8 --lr 1e30 --log l");
    assert_non_null(strstr(r.out, "is --lr 1e+30 too high?"));
    assert_non_null(strstr(r.out, "The loss was not finite in "));
    assert_non_null(strstr(r.out, " of 4 steps"));
    size_t bytes;
    char *text = cli_file("l", &bytes);
    assert_non_null(strstr(text, "\n4,"));
    assert_true(strstr(text, "nan") || strstr(text, "inf"));
    free(text);
    train("--batches 4 --batch-size 8 --lr 1e30 --quiet");
    assert_non_null(strstr(r.err, "too high?"));
    assert_non_null(strstr(r.out, "The loss was not finite in "));
    unlink("l");
}

/* A run that would go on for days, once its log holds a few rows. */
static pid_t start_long_run(void)
{
    unlink("l");
    pid_t pid = cli_start("train --model small --dataset shapes --batch-size 4 --epochs 1000000 "
                          "--log l --save w");
    size_t bytes = 0;
    for (int i = 0; i < 6000 && bytes < 40; i++) {
        nanosleep(&(struct timespec){0, 10000000}, NULL);
        int fd = open("l", O_RDONLY);
        bytes = fd < 0 ? 0 : (size_t)lseek(fd, 0, SEEK_END);
        close(fd);
    }
    assert_true(bytes >= 40);
    return pid;
}

static void check_interrupted(int signal, int status)
{
    pid_t pid = start_long_run();
    kill(pid, signal);
    cli_wait(&r, pid);
    if (r.status != status)
        fail_msg("status %d: %s%s", r.status, r.out, r.err);
    char sentence[64];
    snprintf(sentence, sizeof(sentence), "Stopped by signal %d after ", signal);
    char *stopped = strstr(r.out, sentence);
    assert_non_null(stopped);
    assert_non_null(strstr(r.out, "Saved the weights to w"));
    /* the last row of the log is whole, and is the step that the run stopped after */
    size_t bytes;
    char *text = cli_file("l", &bytes), row[32];
    assert_int_equal(text[bytes - 1], '\n');
    snprintf(row, sizeof(row), "\n%ld,", strtol(stopped + strlen(sentence), NULL, 10));
    text[bytes - 1] = 0;
    assert_ptr_equal(strstr(text, row), strrchr(text, '\n'));
    free(text);
    cli_expect(&r, "infer --model small --dataset shapes --weights w --inferences 1", 0, "");
    assert_int_equal(cli_files_here(), 2);
    unlink("l");
    unlink("w");
}

static void test_interrupted(void **state)
{
    check_interrupted(SIGINT, 130);
    check_interrupted(SIGTERM, 143);
}

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
    train("--batches 150 --batch-size 32 --epochs 2 --lr 0.1 --momentum 0.9 --save w");
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
    make_small_data();
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

/* On a terminal there is a bar. */
static void test_terminal(void **state)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(master >= 0 && !grantpt(master) && !unlockpt(master));
    char words[256], text[8192];
    snprintf(words, sizeof(words),
             "train --model small --dataset shapes --batches 3 --batch-size 4 >%s",
             ptsname(master));
    /* a slave that is open keeps what was written until it is read */
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    pid_t pid = cli_start(words);
    size_t used = 0;
    while (used < sizeof(text) - 1 && !(used && strstr(text, "peak memory"))) {
        ssize_t n = read(master, text + used, sizeof(text) - 1 - used);
        assert_true(n > 0);
        used += (size_t)n;
        text[used] = 0;
    }
    close(slave);
    close(master);
    cli_wait(&r, pid);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(text, "\r100%|"));
    assert_non_null(strstr(text, "12/12 ["));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_quiet_and_words),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_micro_batches),
        cmocka_unit_test(test_short_last_batch),
        cmocka_unit_test(test_first_weights),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_learns_and_infers),
        cmocka_unit_test(test_infer_rounds),
        cmocka_unit_test(test_terminal),
    };
    return cmocka_run_group_tests(tests, cli_enter, cli_leave);
}
