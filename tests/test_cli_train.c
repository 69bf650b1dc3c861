/*
 * train as a user meets it, with the small model: the log, the same bytes from the same seed,
 * micro-batches, signals, a loss that is no number.
 */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* 22 samples in batches of 10: the last holds 2, fewer than there are micro-batches. */
static void test_short_last_batch(void **state)
{
    double loss[MAX_ROWS] = {0}, one[MAX_ROWS] = {0};
    cli_write_mnist();
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

/* A signal before the first step: while it waits for the next node, which is not there, or in the
 * middle of opening its log. Weights of an earlier run are not written over with fresh ones. */
static void test_interrupted_early(void **state)
{
    cli_write("w", "precious", 8);
    pid_t pid = cli_start("train --model small --dataset shapes --role client --save w "
                          "--upstream 127.0.0.1:1");
    cli_wait_for("rying again");
    kill(pid, SIGINT);
    cli_wait(&r, pid);
    assert_int_equal(r.status, 130);
    assert_non_null(strstr(r.out, "No step was done: w stays as it was"));

    assert_int_equal(mkfifo("l", 0666), 0);
    pid = cli_start("train --model small --dataset shapes --save w --log l");
    cli_wait_for("Training small model");
    nanosleep(&(struct timespec){0, 200000000}, NULL);
    kill(pid, SIGTERM);
    cli_wait(&r, pid);
    assert_int_equal(r.status, 143);
    size_t bytes;
    char *data = cli_file("w", &bytes);
    assert_string_equal(data, "precious");
    free(data);
    unlink("l");
    unlink("w");
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
        cmocka_unit_test(test_interrupted_early),
        cmocka_unit_test(test_terminal),
    };
    return cmocka_run_group_tests(tests, cli_enter, cli_leave);
}
