/*
 * Fuzzer of the safetensors reader: no input may crash it, and what it accepts must lie within the
 * file, without overlap. An input that begins with '{' is a header (to its first 0 byte) and data,
 * and gets its length in front; any other is a file as it stands. `make fuzz` builds it: clang
 * -fsanitize=fuzzer,address.
 */
#include "models/safetensors.h"
#include "tests/fuzz_input.h"

static int file;
static char path[64];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char *const header[] = {
        "{}",
        "{\"__metadata__\":{\"format\":\"pt\"},\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,1],"
        "\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[16],\"data_offsets\":[0,16]}}  ",
        "{\"a\":{\"dtype\":\"F4\",\"shape\":[0,9],\"data_offsets\":[0,0]},\"b\\u0041\":{\"dtype\":"
        "\"BF16\",\"shape\":[8],\"data_offsets\":[0,16]}}"};
    file = fuzz_file(path, sizeof(path));
    for (size_t i = 0; i < sizeof(header) / sizeof(header[0]); i++) {
        char seed[512] = {0}, name[2] = {(char)('a' + i), 0};
        uint64_t length = strlen(header[i]);
        size_t data_bytes = i == 0 ? 0 : 16;
        memcpy(seed, header[i], length);
        fuzz_seed(*argc, *argv, name, seed, length + 1 + data_bytes);
        name[0] = (char)('A' + i);
        memcpy(seed, &length, sizeof(length));
        memcpy(seed + sizeof(length), header[i], length);
        fuzz_seed(*argc, *argv, name, seed, sizeof(length) + length + data_bytes);
    }
    return 0;
}

static void check_accepted(const struct safetensors *st, uint64_t file_bytes)
{
    uint64_t end = st->ntensor ? st->tensor[0].offset : file_bytes;
    for (size_t i = 0; i < st->ntensor; i++) {
        const struct safetensors_tensor *t = &st->tensor[i];
        CHECK(t->offset == end && t->bytes <= file_bytes - t->offset);
        end = t->offset + t->bytes;
        CHECK(safetensors_find(st, t->name) == t);
        uint8_t *data = malloc(t->bytes + 1);
        CHECK(data && safetensors_read(st, t, 0, data, t->bytes) == 0);
        free(data);
    }
    CHECK(end == file_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes > 0 && data[0] == '{') {
        const uint8_t *zero = memchr(data, 0, bytes);
        uint64_t length = zero ? (uint64_t)(zero - data) : bytes;
        size_t rest = zero ? bytes - length - 1 : 0;
        uint8_t *whole = malloc(sizeof(length) + length + rest);
        CHECK(whole);
        memcpy(whole, &length, sizeof(length));
        memcpy(whole + sizeof(length), data, length);
        if (rest > 0)
            memcpy(whole + sizeof(length) + length, zero + 1, rest);
        bytes = sizeof(length) + length + rest;
        fuzz_fill(file, whole, bytes);
        free(whole);
    } else {
        fuzz_fill(file, data, bytes);
    }
    struct safetensors st;
    int ret = safetensors_open(&st, path);
    if (ret == 0)
        check_accepted(&st, bytes);
    else
        CHECK(strstr(err_text(), path));
    safetensors_close(&st);
    return 0;
}
