/*
 * Fuzzer of the CIFAR reader: the first byte chooses CIFAR-10 (even) or CIFAR-100, the rest is the
 * file of its test split. No input may crash it, and what it accepts can be read, each label a
 * class. `make fuzz` builds it: clang -fsanitize=fuzzer,address.
 */
#include "base/log.h"
#include "datasets/dataset.h"
#include "tests/fuzz_input.h"

enum { PIXELS = 3 * 32 * 32 };

static char folder[64];
static int file[2];
static const char *const name[2] = {"test_batch.bin", "test.bin"};

static void remove_folder(void)
{
    char path[128];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, name[i]);
        unlink(path);
    }
    rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    log_set_level(LOG_ERROR); /* sets shorter than the published ones are warned of */
    snprintf(folder, sizeof(folder), "/tmp/sparse-fuzz-XXXXXX");
    CHECK(mkdtemp(folder) && atexit(remove_folder) == 0);
    for (int i = 0; i < 2; i++) {
        file[i] = fuzz_file_called(folder, name[i]);
        static uint8_t seed[1 + 2 * (2 + PIXELS)];
        seed[0] = (uint8_t)i;
        fuzz_seed(*argc, *argv, name[i], seed, 1 + 2 * ((size_t)i + 1 + PIXELS));
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1)
        return 0;
    int which = data[0] % 2;
    size_t record = (size_t)which + 1 + PIXELS;
    fuzz_fill(file[which], data + 1, bytes - 1);

    struct dataset *ds;
    struct dataset_want want = {.name = which ? "cifar100" : "cifar10",
                                .data_dir = folder,
                                .split = DATASET_TEST,
                                .c = 3,
                                .h = 32,
                                .w = 32};
    if (dataset_open(&ds, &want) < 0) {
        CHECK(!ds && strstr(err_text(), folder));
        return 0;
    }
    CHECK(ds->count * record == bytes - 1);
    for (uint32_t i = 0; i < ds->count; i++) {
        static float image[PIXELS];
        int32_t label;
        dataset_read(ds, &i, 1, image, &label);
        CHECK(label == data[i * record + (size_t)which + 1] && label < ds->classes);
    }
    dataset_close(ds);
    return 0;
}
