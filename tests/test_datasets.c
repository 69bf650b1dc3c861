/* datasets/: files written here in the published formats, read back; every refusal; which set
 * "auto" takes. The drawn set is in test_shapes.c, the order of batches in test_loader.c. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/log.h"
#include "datasets/dataset.h"
#include "tests/refusal.h"

enum { CIFAR_PIXELS = 3 * 32 * 32, IDX_PIXELS = 28 * 28 };

static char dir[64];

static int set_up(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/sparse-test-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[96];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

/* dir/name; good until the eighth call after it. Folders on the way are made. */
static const char *in_dir(const char *name)
{
    static char path[8][256];
    static int turn;
    char *p = path[turn++ % 8];
    snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
    for (char *slash = p + strlen(dir) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(p, 0755);
        *slash = '/';
    }
    return p;
}

static void write_bytes(const char *path, const uint8_t *data, size_t bytes, bool gz)
{
    gzFile f = gzopen(path, gz ? "wb" : "wbT");
    CHECK(f && gzwrite(f, data, (unsigned)bytes) == (int)bytes && gzclose(f) == Z_OK);
}

/* Byte p of picture i, for all kinds. */
static uint8_t pixel(size_t i, size_t p)
{
    return (uint8_t)(i * 31 + p * 7 + p / 256);
}

/* n records as CIFAR stores them, numbered from `first`; label i % classes in the last label
 * byte. */
static uint8_t *cifar_bytes(size_t first, size_t n, int label_bytes, int classes, size_t *bytes)
{
    size_t record = (size_t)label_bytes + CIFAR_PIXELS;
    *bytes = n * record;
    uint8_t *data = malloc(*bytes);
    for (size_t i = 0; i < n; i++) {
        data[i * record] = 77; /* CIFAR-100's coarse label, unless overwritten: not read */
        data[i * record + (size_t)label_bytes - 1] = (uint8_t)((first + i) % (size_t)classes);
        for (size_t p = 0; p < CIFAR_PIXELS; p++)
            data[i * record + (size_t)label_bytes + p] = pixel(first + i, p);
    }
    return data;
}

static void write_cifar(const char *path, size_t first, size_t n, int label_bytes, int classes)
{
    size_t bytes;
    uint8_t *data = cifar_bytes(first, n, label_bytes, classes, &bytes);
    write_bytes(path, data, bytes, false);
    free(data);
}

/* Five files of n + 1, n + 2, ... records. */
static void write_cifar10(size_t n)
{
    for (size_t f = 0, first = 0; f < 5; first += n + ++f) {
        char name[64];
        snprintf(name, sizeof(name), "cifar-10-batches-bin/data_batch_%zu.bin", f + 1);
        write_cifar(in_dir(name), first, n + f + 1, 1, 10);
    }
}

static void put32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void write_idx(const char *images, const char *labels, uint32_t n, bool gz)
{
    size_t bytes = 16 + (size_t)n * IDX_PIXELS;
    uint8_t *data = calloc(bytes, 1);
    put32(data, 0x803);
    put32(data + 4, n);
    put32(data + 8, 28);
    put32(data + 12, 28);
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < IDX_PIXELS; p++)
            data[16 + i * IDX_PIXELS + p] = pixel(i, p);
    write_bytes(images, data, bytes, gz);
    put32(data, 0x801);
    for (uint32_t i = 0; i < n; i++)
        data[8 + i] = (uint8_t)(i % 10);
    write_bytes(labels, data, 8 + n, gz);
    free(data);
}

static int open_set(struct dataset **ds, const char *name, enum dataset_split split, int c,
                    int side)
{
    struct dataset_want want = {
        .name = name, .data_dir = dir, .split = split, .c = c, .h = side, .w = side, .seed = 1};
    return dataset_open(ds, &want);
}

/* Reads the samples and compares them with pixel() and i % classes, through PyTorch's
 * arithmetic. */
static void check_stored(struct dataset *ds, const uint32_t *index, int n)
{
    static const float mean[3] = {0.4914f, 0.4822f, 0.4465f}, std[3] = {0.2023f, 0.1994f, 0.2010f};
    size_t plane = (size_t)(ds->h * ds->w), row = (size_t)ds->c * plane;
    float *images = malloc((size_t)n * row * sizeof(float));
    int32_t *labels = malloc((size_t)n * sizeof(int32_t));
    dataset_read(ds, index, n, images, labels);
    for (int i = 0; i < n; i++) {
        assert_int_equal(labels[i], index[i] % (uint32_t)ds->classes);
        for (size_t p = 0; p < row; p++) {
            float want = (float)pixel(index[i], p) / 255.0f;
            if (ds->c == 3)
                want = (want - mean[p / plane]) / std[p / plane];
            assert_true(images[(size_t)i * row + p] == want);
        }
    }
    free(images);
    free(labels);
}

static void test_cifar10(void **state)
{
    struct dataset *ds;
    write_cifar10(2);
    write_cifar(in_dir("cifar-10-batches-bin/test_batch.bin"), 0, 4, 1, 10);
    assert_ok(open_set(&ds, "cifar10", DATASET_TRAIN, 3, 32));
    assert_int_equal(ds->count, 3 + 4 + 5 + 6 + 7);
    assert_int_equal(ds->classes, 10);
    assert_string_equal(ds->class_name[9], "truck");
    check_stored(ds, (const uint32_t[]){0, 1, 2, 3, 24, 7, 11, 12, 17, 18},
                 10); /* edges of files */
    dataset_close(ds);
    assert_ok(open_set(&ds, "cifar10", DATASET_TEST, 3, 32));
    assert_int_equal(ds->count, 4);
    check_stored(ds, (const uint32_t[]){3, 0}, 2);
    dataset_close(ds);
    dataset_close(NULL);
}

static void test_cifar100(void **state)
{
    struct dataset *ds;
    write_cifar(in_dir("cifar-100-binary/train.bin"), 0, 150, 2, 100);
    write_cifar(in_dir("cifar-100-binary/test.bin"), 0, 3, 2, 100);
    assert_ok(open_set(&ds, "cifar100", DATASET_TRAIN, 3, 32));
    assert_int_equal(ds->count, 150);
    assert_int_equal(ds->classes, 100);
    for (int i = 1; i < 100; i++)
        assert_true(strcmp(ds->class_name[i - 1], ds->class_name[i]) <
                    0); /* published in this order */
    check_stored(ds, (const uint32_t[]){0, 99, 100, 149}, 4);
    dataset_close(ds);
    assert_ok(open_set(&ds, "cifar100", DATASET_TEST, 3, 32));
    assert_int_equal(ds->count, 3);
    dataset_close(ds);
}

static void test_cifar_refusals(void **state)
{
    struct dataset *ds;
    assert_refused(open_set(&ds, "cifar10", DATASET_TRAIN, 3, 32), ENOENT, "cifar10", dir,
                   "data_batch_1.bin", "scripts/fetch_data.sh cifar10");
    assert_null(ds);
    write_cifar10(1);
    assert_refused(open_set(&ds, "cifar10", DATASET_TEST, 3, 32), ENOENT, "test_batch.bin");
    assert_refused(open_set(&ds, "cifar10", DATASET_TRAIN, 1, 28), EINVAL, "cifar10", "3x32x32",
                   "1x28x28");

    const char *third = in_dir("cifar-10-batches-bin/data_batch_3.bin");
    assert_ok(truncate(third, 4 * 3073 - 1));
    assert_refused(open_set(&ds, "cifar10", DATASET_TRAIN, 3, 32), EINVAL, third, "cut short",
                   "12291", "3073");
    assert_ok(truncate(third, 0));
    assert_refused(open_set(&ds, "cifar10", DATASET_TRAIN, 3, 32), EINVAL, third, "cut short");
    unlink(third);
    assert_refused(open_set(&ds, "cifar10", DATASET_TRAIN, 3, 32), ENOENT, third);
    assert_ok(mkdir(third, 0755));
    assert_refused(open_set(&ds, "cifar10", DATASET_TRAIN, 3, 32), EINVAL, third);
    rmdir(third);

    size_t bytes;
    uint8_t *data = cifar_bytes(0, 4, 1, 10, &bytes);
    data[6146] = 10; /* the third record */
    write_bytes(third, data, bytes, false);
    free(data);
    assert_refused(open_set(&ds, "cifar10", DATASET_TRAIN, 3, 32), EINVAL, third,
                   "label of sample 2 is 10", "0 to 9");
    assert_null(ds);
}

static void test_idx(void **state)
{
    struct dataset *ds;
    write_idx(in_dir("mnist/train-images-idx3-ubyte"), in_dir("mnist/train-labels-idx1-ubyte"), 13,
              false);
    write_idx(in_dir("mnist/t10k-images-idx3-ubyte.gz"), in_dir("mnist/t10k-labels-idx1-ubyte.gz"),
              5, true);
    assert_ok(open_set(&ds, "mnist", DATASET_TRAIN, 1, 28));
    assert_int_equal(ds->count, 13);
    assert_string_equal(ds->class_name[7], "7");
    check_stored(ds, (const uint32_t[]){12, 0, 5}, 3);
    dataset_close(ds);
    assert_ok(open_set(&ds, "mnist", DATASET_TEST, 1, 28));
    assert_int_equal(ds->count, 5);
    check_stored(ds, (const uint32_t[]){0, 1, 2, 3, 4}, 5);
    dataset_close(ds);

    /* torchvision's folder, and the spelling with a dot; one file plain, one gzipped. */
    write_idx(in_dir("FashionMNIST/raw/train-images.idx3-ubyte.gz"), in_dir("x"), 3, true);
    write_idx(in_dir("x"), in_dir("FashionMNIST/raw/train-labels-idx1-ubyte"), 3, false);
    assert_ok(open_set(&ds, "fashion-mnist", DATASET_TRAIN, 1, 28));
    assert_int_equal(ds->count, 3);
    assert_string_equal(ds->class_name[9], "Ankle boot");
    check_stored(ds, (const uint32_t[]){2, 1}, 2);
    dataset_close(ds);
}

static int open_mnist(void)
{
    struct dataset *ds;
    int ret = open_set(&ds, "mnist", DATASET_TRAIN, 1, 28);
    assert_null(ds); /* only refusals come through here */
    return ret;
}

/* A byte of a file that write_idx wrote. */
static void patch(const char *path, long at, int value)
{
    FILE *f = fopen(path, "r+b");
    CHECK(f && fseek(f, at, SEEK_SET) == 0 && fputc(value, f) != EOF && fclose(f) == 0);
}

static void test_idx_refusals(void **state)
{
    assert_refused(open_mnist(), ENOENT, "mnist is not in", dir, "train-images-idx3-ubyte",
                   "fetch_data.sh mnist");
    const char *images = in_dir("mnist/train-images-idx3-ubyte");
    const char *labels = in_dir("mnist/train-labels-idx1-ubyte");
    write_idx(images, labels, 4, false);
    unlink(labels);
    assert_refused(open_mnist(), ENOENT, labels);
    write_idx(in_dir("x"), labels, 3, false);
    assert_refused(open_mnist(), EINVAL, labels, "3 labels for 4 pictures");
    write_idx(images, labels, 4, false);
    patch(labels, 8 + 2, 10);
    assert_refused(open_mnist(), EINVAL, labels, "label of sample 2 is 10", "0 to 9");
    write_idx(labels, images, 4, false); /* exchanged */
    assert_refused(open_mnist(), EINVAL, images, "00000801", "00000803");

    write_idx(images, labels, 4, false);
    patch(images, 11, 32);
    assert_refused(open_mnist(), EINVAL, images, "32x28", "28x28");
    write_idx(images, labels, 4, false);
    patch(images, 4, 255); /* four thousand million pictures: refused before memory is asked for */
    assert_refused(open_mnist(), EINVAL, images, "cut short", "4278190084");
    write_idx(images, labels, 0, false);
    assert_refused(open_mnist(), EINVAL, images, "no samples");
    write_idx(images, labels, 4, false);
    for (long n = 16 + 4 * IDX_PIXELS - 1; n >= 0; n -= n > 16 ? 311 : 1) {
        assert_ok(truncate(images, n));
        assert_refused(open_mnist(), EINVAL, images, "cut short");
    }
    write_idx(images, labels, 4, false);
    patch(images, 16 + 4 * IDX_PIXELS, 1);
    assert_refused(open_mnist(), EINVAL, images, "goes on after its 4 samples");
    unlink(images);
    assert_ok(mkdir(images, 0755));
    assert_refused(open_mnist(), EINVAL, images, "not a file");
}

/* Whatever byte of a gzip file is missing or changed, it is refused. */
static void test_gzip_refusals(void **state)
{
    const char *images = in_dir("mnist/train-images-idx3-ubyte.gz");
    const char *labels = in_dir("mnist/train-labels-idx1-ubyte.gz");
    write_idx(images, labels, 2, true);
    struct stat sb;
    assert_ok(stat(images, &sb));
    assert_true(sb.st_size < 2L * IDX_PIXELS);
    for (long n = sb.st_size - 1; n > 20; n -= 7) {
        assert_ok(truncate(images, n));
        assert_int_equal(open_mnist(), -EINVAL);
        assert_non_null(strstr(err_text(), images));
    }
    write_idx(images, labels, 2, true);
    patch(images, sb.st_size - 6, 0x5a); /* the checksum */
    assert_refused(open_mnist(), EINVAL, images, "damaged");
}

static void test_auto(void **state)
{
    struct dataset *ds;
    assert_ok(open_set(&ds, "auto", DATASET_TRAIN, 3, 32));
    assert_string_equal(ds->ops->name, "shapes");
    assert_true(ds->chosen_by_default);
    dataset_close(ds);

    write_cifar10(1);
    assert_ok(open_set(&ds, "auto", DATASET_TRAIN, 3, 32));
    assert_string_equal(ds->class_name[0], "airplane");
    assert_false(ds->chosen_by_default);
    dataset_close(ds);
    /* Found and damaged is an error, not a reason to take another. */
    assert_ok(truncate(in_dir("cifar-10-batches-bin/data_batch_5.bin"), 100));
    assert_refused(open_set(&ds, "auto", DATASET_TRAIN, 3, 32), EINVAL, "data_batch_5.bin");

    write_idx(in_dir("fashion-mnist/train-images-idx3-ubyte"),
              in_dir("fashion-mnist/train-labels-idx1-ubyte"), 2, false);
    assert_ok(open_set(&ds, "auto", DATASET_TRAIN, 1, 28));
    assert_int_equal(ds->count, 2);
    dataset_close(ds);
    assert_refused(open_set(&ds, "auto", DATASET_TRAIN, 3, 416), EINVAL, "3x416x416");
    assert_refused(open_set(&ds, "imagenet", DATASET_TRAIN, 3, 32), EINVAL, "\"imagenet\"",
                   "auto, cifar10, cifar100, fashion-mnist, mnist, shapes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cifar10, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cifar100, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cifar_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_idx, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_idx_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gzip_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_auto, set_up, tear_down),
    };
    log_set_level(LOG_ERROR); /* the short sets made here are warned of */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
