/*
 * Fuzzer of the IDX reader: two bytes (little-endian) say how many of the rest are the pictures'
 * file, what follows is the labels' file; either may be gzipped. No input may crash it, and what it
 * accepts can be read, each label a class. `make fuzz` builds it: clang -fsanitize=fuzzer,address.
 */
#include <zlib.h>

#include "datasets/dataset.h"
#include "tests/fuzz_input.h"

enum { PIXELS = 28 * 28 };

static char folder[64], mnist[80];
static int images, labels;

static void remove_folder(void)
{
    char path[160];
    static const char *const name[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", mnist, name[i]);
        unlink(path);
    }
    rmdir(mnist);
    rmdir(folder);
}

/* The same bytes, gzipped; returns how many. */
static size_t gzipped(uint8_t *to, size_t to_bytes, const uint8_t *from, size_t bytes)
{
    z_stream z = {.next_in = (Bytef *)from,
                  .avail_in = (uInt)bytes,
                  .next_out = to,
                  .avail_out = (uInt)to_bytes};
    CHECK(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END && deflateEnd(&z) == Z_OK);
    return z.total_out;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    snprintf(folder, sizeof(folder), "/tmp/sparse-fuzz-XXXXXX");
    CHECK(mkdtemp(folder));
    snprintf(mnist, sizeof(mnist), "%s/mnist", folder);
    CHECK(mkdir(mnist, 0700) == 0 && atexit(remove_folder) == 0);
    images = fuzz_file_called(mnist, "train-images-idx3-ubyte");
    labels = fuzz_file_called(mnist, "train-labels-idx1-ubyte");

    static uint8_t picture[16 + 2 * PIXELS] = {0, 0, 8,  3, 0, 0, 0,  2,  0,
                                               0, 0, 28, 0, 0, 0, 28, 200};
    static const uint8_t label[8 + 2] = {0, 0, 8, 1, 0, 0, 0, 2, 9, 0};
    for (int gz = 0; gz < 2; gz++) {
        uint8_t seed[4096];
        size_t n = sizeof(picture);
        if (gz)
            n = gzipped(seed + 2, 2048, picture, sizeof(picture));
        else
            memcpy(seed + 2, picture, n);
        seed[0] = (uint8_t)n;
        seed[1] = (uint8_t)(n >> 8);
        size_t used = 2 + n;
        if (gz)
            n = gzipped(seed + used, 1024, label, sizeof(label));
        else
            memcpy(seed + used, label, n = sizeof(label));
        fuzz_seed(*argc, *argv, gz ? "gzip" : "plain", seed, used + n);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2)
        return 0;
    size_t first = (size_t)data[0] | (size_t)data[1] << 8;
    data += 2;
    bytes -= 2;
    if (first > bytes)
        first = bytes;
    fuzz_fill(images, data, first);
    fuzz_fill(labels, data + first, bytes - first);

    struct dataset *ds;
    struct dataset_want want = {.name = "mnist", .data_dir = folder, .c = 1, .h = 28, .w = 28};
    if (dataset_open(&ds, &want) < 0) {
        CHECK(!ds && strstr(err_text(), folder));
        return 0;
    }
    for (uint32_t i = 0; i < ds->count; i++) {
        float image[PIXELS];
        int32_t one;
        dataset_read(ds, &i, 1, image, &one);
        CHECK(one >= 0 && one < 10 && image[0] >= 0 && image[PIXELS - 1] <= 1);
    }
    dataset_close(ds);
    return 0;
}
