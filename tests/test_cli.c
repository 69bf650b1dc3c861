/*
 * The program as a user meets it, apart from training: help, every kind of bad input with its exit
 * status and its sentence, and that none of it leaves a file behind; inspect, init, merge, doctor.
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/device.h"
#include "tests/cli.h"

static struct cli r;

static void test_help(void **state)
{
    cli_expect(&r, "--help", 0, "");
    assert_non_null(strstr(r.out, "usage: sparse-engine COMMAND"));
    cli_expect(&r, "-h", 0, "");
    cli_expect(&r, "--version", 0, "");
    assert_string_equal(r.out, "sparse-engine " SPARSE_VERSION "\n");
    cli_expect(&r, "", 2, "usage: sparse-engine COMMAND");
    assert_string_equal(r.out, "");
    static const char *const commands[] = {"train", "infer", "inspect", "init", "merge", "doctor"};
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        char words[64], usage[64];
        cli_run(&r, "--help");
        assert_non_null(strstr(r.out, commands[i]));
        snprintf(words, sizeof(words), "%s --help", commands[i]);
        snprintf(usage, sizeof(usage), "usage: sparse-engine %s", commands[i]);
        cli_expect(&r, words, 0, "");
        assert_non_null(strstr(r.out, usage));
    }
}

/* An instruction set that this machine or build lacks. */
static const char *lacking_isa(void)
{
    static const char *const all[] = {"neon", "avx512", "avx2"};
    for (size_t i = 0; i < 3; i++) {
        const char *const *have = device_cpu_isas();
        while (*have && strcmp(*have, all[i]))
            have++;
        if (!*have)
            return all[i];
    }
    return NULL;
}

/* Exit status 2: the words are off. The sentence is one line on stderr, and nothing is on stdout.
 */
static void test_words_off(void **state)
{
    static const struct {
        const char *words, *sentence;
    } row[] = {
        {"nosuch", "there is no command \"nosuch\": see sparse-engine --help"},
        {"--nosuch", "there is no command"},
        {"convert a b", "convert wants two files and a model"},
        {"convert a --model yolov3", "convert wants two files and a model"},
        {"train --model yolov3", "--model yolov3 is a detector, and those are not trained"},
        {"monitors", "there is no command \"monitors\""},
        {"train --nosuch", "train has no option --nosuch"},
        {"train small", "there is \"small\""},
        {"train --epochs", "--epochs wants a value"},
        {"train --epochs three", "--epochs wants a whole number"},
        {"train --batch 3", "--batch-size, --batches"},
        {"train --lr 1e", "--lr wants a number"},
        {"train --quiet --verbose", "--quiet and --verbose"},
        {"train --model nosuch", "small, vgg11, vgg16, vgg19"},
        {"train --model small --layers 0:3", "role aio runs all layers of small, 0:6"},
        {"train --model small --layers 3:", "role aio runs all layers"},
        {"train --model small --layers 0:7", "role aio runs all layers"},
        {"train --model Small_client", "--model Small_client"},
        {"train --model small --codec conv:4", "small has no codec"},
        {"train --model vgg11 --codec conv:3", "128"},
        {"train --micro-batches 9 --batch-size 8", "at most --batch-size"},
        {"train --upstream h:1", "role aio has no upstream"},
        {"infer --dataset shapes", "yolov3 is a detector"},
        {"infer --model yolov3-tiny --batch-size 2", "one picture a request"},
        {"infer --role source --output x", "--answer raw"},
        {"infer --model small --conf 0.5", "--conf is for detectors, small is a classifier"},
        {"infer --model small dog.jpg", "takes no pictures, there is \"dog.jpg\""},
        {"infer --role final dog.jpg", "role final has no data to read"},
        {"infer --answer rows", "boxes, raw"},
        {"infer --model small --log x", "infer takes no --log"},
        {"infer --model small --in-flight 2", "role aio has no neighbour, there is --in-flight"},
        {"infer --model small --role source --in-flight 65", "--in-flight"},
        {"infer --model small --role final --json", "role final has no data to read"},
        {"infer --model small --role source --weights w", "role source has no weights"},
        {"inspect", "inspect wants a model"},
        {"inspect --model nosuch", "small, vgg11"},
        {"init --model small", "--save FILE"},
        {"init --save x", "--model M"},
        {"merge --save x", "merge wants parts"},
        {"merge x", "merge wants parts"},
        {"doctor now", "there is \"now\""},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
        cli_expect(&r, row[i].words, 2, row[i].sentence);
        assert_string_equal(r.out, "");
        assert_int_equal(strncmp(r.err, "sparse-engine: ", 15), 0);
        assert_int_equal(strcspn(r.err, "\n") + 1, strlen(r.err));
    }
    assert_int_equal(cli_files_here(), 0);
}

/* Exit status 1: it failed, before anything was done; no file is left or changed. */
static void test_failures(void **state)
{
    static const struct {
        const char *words, *sentence;
    } row[] = {
        {"train --model small --save nowhere/x.safetensors", "nowhere"},
        {"train --model small --save .", "."},
        {"train --model small --dataset shapes --log nowhere/x.csv", "nowhere/x.csv"},
        {"train --model small --dataset shapes --log .", "cannot open the log ."},
        {"train --model small --dataset shapes --log /dev/full", "No space left"},
        {"train --model small --dataset shapes --weights none", "none"},
        {"train --model small --dataset shapes --weights junk", "junk"},
        {"train --model small --dataset mnist --data-dir nowhere", "nowhere"},
        {"train --model small --dataset cifar10", "1x28x28"},
        {"train --model small --device cuda:99", "--device cuda:99: "},
        {"train --model small --env-file none", "none"},
        {"infer --model small --dataset shapes --weights none", "none"},
        {"infer --model yolov3-tiny --images none.jpg", "cannot open picture none.jpg"},
        {"infer --model yolov3-tiny --images junk junk.jpg", "junk.jpg"},
        {"infer --model yolov3-tiny --images .", "holds no .jpg, .jpeg or .png"},
        {"infer --model small --dataset shapes --output nowhere/x", "nowhere"},
        {"init --model small --save nowhere/x", "nowhere"},
        {"merge none --save x", "none"},
        {"merge junk --save x", "junk"},
        {"convert none x --model yolov3-tiny", "none"},
        {"convert junk x --model yolov3-tiny", "junk"},
        {"convert none.weights nowhere/x --model yolov3-tiny", "nowhere"},
        {"inspect --model none.cfg", "none.cfg"},
        {"doctor >/dev/full", "cannot write to the standard output: No space left"},
        {"--version >/dev/full", "cannot write to the standard output"},
        {"inspect --model small --json >/dev/full", "cannot write to the standard output"},
    };
    cli_write("junk", "these are no weights", 20);
    for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
        cli_expect(&r, row[i].words, 1, row[i].sentence);
        assert_null(strstr(r.out, "Trained")); /* it was told beforehand */
    }
    if (lacking_isa()) {
        char words[64];
        snprintf(words, sizeof(words), "init --model small --save x --isa %s", lacking_isa());
        cli_expect(&r, words, 1, lacking_isa());
    }
    assert_int_equal(cli_files_here(), 1);
    unlink("junk");
}

/* A file that is there already stays as it was where the run fails. */
static void test_old_files_stay(void **state)
{
    cli_write("old", "precious", 8);
    cli_expect(&r, "train --model small --dataset shapes --log old --weights none", 1, "none");
    cli_expect(&r, "train --model small --dataset shapes --save old --weights none", 1, "none");
    cli_expect(&r, "merge none --save old", 1, "none");
    size_t bytes;
    char *data = cli_file("old", &bytes);
    assert_string_equal(data, "precious");
    free(data);
    unlink("old");
}

/* Weights cut short, of another model, and twice the same part. */
static void test_bad_weights(void **state)
{
    cli_expect(&r, "init --model small --save w", 0, "");
    size_t bytes;
    char *data = cli_file("w", &bytes);
    cli_write("short", data, bytes - 1);
    cli_expect(&r, "infer --model small --dataset shapes --weights short", 1, "short");
    cli_expect(&r, "merge w w --save twice", 1, "linear_relu_stack");
    char *name = memmem(data, bytes, "linear_relu_stack.0.bias", 24);
    assert_non_null(name);
    name[0] = 'm';
    cli_write("renamed", data, bytes);
    cli_expect(&r, "infer --model small --dataset shapes --weights renamed", 1,
               "linear_relu_stack.0.bias");
    free(data);
    assert_int_equal(cli_files_here(), 3);
    unlink("w");
    unlink("short");
    unlink("renamed");
}

/* The way from fresh weights to darknet's and back; what a bad .cfg or .weights says. */
static void test_darknet(void **state)
{
    static const char cfg[] = "[net]\nwidth=32\nheight=32\n[convolutional]\nbatch_normalize=1\n"
                              "filters=6\nsize=3\npad=1\nactivation=leaky\n[yolo]\n"
                              "anchors=4,5\nclasses=1\n";
    cli_write("m.cfg", cfg, strlen(cfg));
    cli_expect(&r, "inspect --model m.cfg", 0, "");
    assert_non_null(strstr(r.out, "(1, 1024, 6)"));
    assert_non_null(strstr(r.out, "174 parameters"));
    cli_expect(&r, "init --model m.cfg --save a.weights", 0, "");
    cli_expect(&r, "convert a.weights b.safetensors --model m.cfg", 0, "");
    cli_expect(&r, "convert b.safetensors c.weights --model m.cfg", 0, "");
    size_t bytes, other;
    char *a = cli_file("a.weights", &bytes), *c = cli_file("c.weights", &other);
    assert_int_equal(bytes, 20 + (4 * 6 + 162) * 4);
    assert_int_equal(other, bytes);
    assert_memory_equal(a, c, bytes);
    cli_write("short.weights", a, bytes - 4);
    cli_expect(&r, "convert short.weights d.safetensors --model m.cfg", 1, "short.weights");
    cli_expect(&r, "convert a.weights d.safetensors --model yolov3-tiny", 1, "a.weights");
    free(a);
    free(c);
    cli_write("m.cfg", "[net]\n[route]\nlayers=1\n", 23);
    cli_expect(&r, "inspect --model m.cfg", 1, "m.cfg:3: [route] layers");
    cli_write("m.cfg", "[net]\n[crnn]\n", 13);
    cli_expect(&r, "inspect --model m.cfg", 1, "m.cfg:2: section [crnn]");
    assert_int_equal(cli_files_here(), 5);
    unlink("m.cfg");
    unlink("a.weights");
    unlink("b.safetensors");
    unlink("c.weights");
    unlink("short.weights");
}

/* Data files as somebody finds them after a download that broke off, or of something else. */
static void test_bad_data(void **state)
{
    static const char images[] = "data/MNIST/raw/train-images-idx3-ubyte";
    static const char labels[] = "data/MNIST/raw/train-labels-idx1-ubyte";
    static unsigned char pixels[3 * 28 * 28];
    static const char words[] = "train --model small --dataset mnist --save x --log y";
    const int dim[] = {3, 28, 28};
    cli_make_folders("data/MNIST/raw");
    cli_write_idx(images, dim, 3, pixels, sizeof(pixels));
    cli_write_idx(labels, dim, 1, "\0\1\2", 3);
    cli_expect(&r, "train --model small --dataset mnist --batch-size 2 --batches 0", 0, "");
    assert_non_null(strstr(r.out, "Trained 3 samples"));
    cli_write_idx(labels, dim, 1, "\0\1\12", 3);
    cli_expect(&r, words, 1, labels);
    assert_non_null(strstr(r.err, "10"));
    cli_write_idx(labels, dim, 1, "\0\1", 2);
    cli_expect(&r, words, 1, labels);
    cli_write_idx(labels, dim, 1, "\0\1\2", 3);
    cli_write_idx(images, dim, 3, pixels, sizeof(pixels) - 1);
    cli_expect(&r, words, 1, images);
    cli_write_idx(images, dim, 3, pixels, sizeof(pixels));
    unlink(labels);
    cli_expect(&r, words, 1, "train-labels");
    assert_int_equal(cli_files_here(), 1);
    cli_remove("data");
}

static json_t *parse(const char *text)
{
    json_error_t e;
    json_t *j = json_loads(text, 0, &e);
    if (!j)
        fail_msg("line %d: %s: %.200s", e.line, e.text, text);
    return j;
}

static long long number(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    if (!json_is_integer(v))
        fail_msg("\"%s\" is no whole number", key);
    return json_integer_value(v);
}

/* Parameters before and after a cut, and the bytes across it, from inspect's rows. */
static void check_cut(const char *words, int cut, long long before, long long after,
                      long long bytes)
{
    cli_expect(&r, words, 0, "");
    json_t *j = parse(r.out), *layers = json_object_get(j, "layers"), *layer;
    assert_int_equal(number(j, "default_cut"), cut);
    assert_int_equal(number(j, "parameters"), before + after);
    long long sum[2] = {0, 0};
    size_t i;
    json_array_foreach(layers, i, layer) {
        assert_int_equal(number(layer, "number"), (int)i);
        sum[(int)i >= cut] += number(layer, "parameters");
    }
    assert_int_equal(sum[0], before);
    assert_int_equal(sum[1], after);
    layer = json_array_get(layers, (size_t)cut - 1);
    assert_int_equal(number(json_object_get(layer, "cut"), "bytes"), bytes);
    layer = json_array_get(layers, json_array_size(layers) - 1);
    assert_true(json_is_null(json_object_get(layer, "cut")));
    json_decref(j);
}

static void test_inspect(void **state)
{
    check_cut("inspect --model small --json", 3, 401920, 133898, 131072);
    check_cut("inspect --model small --json --batch-size 1", 3, 401920, 133898, 2048);
    check_cut("inspect --model vgg11 --json", 6, 75648, 132787688, 2097152);
    check_cut("inspect --model VGG_unsplit --json", 6, 75648, 132787688, 2097152);
    cli_expect(&r, "inspect --model vgg11 --codec conv:1 --json", 0, "");
    json_t *j = parse(r.out);
    assert_int_equal(number(j, "parameters"), 223488 + 132935272);
    json_decref(j);
    cli_expect(&r, "inspect --model vgg11", 0, "");
    assert_non_null(strstr(r.out, "132863336 parameters"));
    assert_non_null(strstr(r.out, "2097152  default cut"));
    assert_non_null(strstr(r.out, "\n 29  classifier.6 "));
}

static void test_init_and_merge(void **state)
{
    cli_expect(&r, "init --model small --seed 5 --save a", 0, "");
    assert_non_null(strstr(r.out, "Saved the weights to a"));
    cli_expect(&r, "init --model small --seed 5 --save b --threads 1", 0, "");
    cli_same_files("a", "b");
    cli_expect(&r, "merge a --save b", 0, "");
    cli_same_files("a", "b");
    cli_expect(&r, "init --model small --seed 6 --save b", 0, "");
    size_t bytes;
    char *a = cli_file("a", &bytes), *b = cli_file("b", &bytes);
    assert_memory_not_equal(a, b, bytes);
    free(a);
    free(b);
    unlink("a");
    unlink("b");
}

static void test_doctor(void **state)
{
    cli_expect(&r, "doctor", 0, "");
    assert_non_null(strstr(r.out, "CPU features"));
    assert_non_null(strstr(r.out, "io_uring"));
    cli_expect(&r, "doctor --json", 0, "");
    json_t *j = parse(r.out), *cpu = json_object_get(j, "cpu");
    assert_in_range(number(cpu, "cores_usable"), 1, 4096);
    assert_string_equal(json_string_value(json_object_get(j, "version")), SPARSE_VERSION);
    assert_true(json_array_size(json_object_get(cpu, "backends")) >= 2);
    assert_true(json_is_boolean(json_object_get(json_object_get(j, "io_uring"), "usable")));
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),           cmocka_unit_test(test_words_off),
        cmocka_unit_test(test_failures),       cmocka_unit_test(test_old_files_stay),
        cmocka_unit_test(test_bad_weights),    cmocka_unit_test(test_darknet),
        cmocka_unit_test(test_bad_data),       cmocka_unit_test(test_inspect),
        cmocka_unit_test(test_init_and_merge), cmocka_unit_test(test_doctor),
    };
    return cmocka_run_group_tests(tests, cli_enter, cli_leave);
}
