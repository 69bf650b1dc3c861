/* models/safetensors.h against bad files: every refusal names the file, and the tensor where there
 * is one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "models/safetensors.h"
#include "tests/refusal.h"
#include "tests/weights_fixture.h"

static char folder[64], *file;

static int set_up(void **state)
{
    snprintf(folder, sizeof(folder), "%s", folder_new());
    file = path_in(folder, "bad.safetensors");
    return 0;
}

static int tear_down(void **state)
{
    unlink(file);
    free(file);
    return rmdir(folder);
}

static int open_file(void)
{
    struct safetensors st;
    int ret = safetensors_open(&st, file);
    safetensors_close(&st);
    return ret;
}

static int open_header(const char *header, size_t data_bytes)
{
    safetensors_file(file, header, data_bytes);
    return open_file();
}

#define T(name, shape, offsets) \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_good_files(void **state)
{
    assert_ok(open_header("{}", 0));
    assert_ok(open_header("{\"__metadata__\":{\"format\":\"pt\"}}", 0));
    assert_ok(open_header("{" T("a", "[2]", "[0,8]") "}     ", 8));
    assert_ok(open_header("{" T("b", "[1]", "[8,12]") "," T("a", "[2]", "[0,8]") "}", 12));
    assert_ok(open_header("{" T("none", "[0,5]", "[4,4]") "," T("a", "[]", "[0,4]") "}", 4));
    /* Unknown dtypes are for the caller to refuse. */
    assert_ok(open_header("{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1));
}

static void test_header_length(void **state)
{
    struct safetensors st;
    assert_refused(safetensors_open(&st, "/nowhere/x"), ENOENT, "/nowhere/x");
    safetensors_close(&st);
    assert_refused(safetensors_open(&st, folder), EINVAL, folder, "not a file");
    safetensors_close(&st);

    const uint64_t absurd[] = {0, 1, 100000001, UINT64_MAX, (uint64_t)1 << 63};
    for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
        file_write(file, &absurd[i], sizeof(absurd[i]));
        assert_refused(open_file(), EINVAL, file, "header is", "100000000");
    }
    const uint64_t longer_than_file[2] = {9, 0};
    file_write(file, longer_than_file, sizeof(longer_than_file));
    assert_refused(open_file(), EINVAL, file, "cut short", "header is 9 bytes");
    file_write(file, longer_than_file, 7);
    assert_refused(open_file(), EINVAL, file, "cut short", "7 bytes");
    file_write(file, "PK\3\4 a PyTorch .pt file is a zip", 32);
    assert_refused(open_file(), EINVAL, file, "safetensors.torch.save_file");

    char *fifo = path_in(folder, "fifo");
    assert_ok(mkfifo(fifo, 0600));
    assert_refused(safetensors_open(&st, fifo), EINVAL, fifo, "not a file"); /* and does not wait */
    safetensors_close(&st);
    unlink(fifo);
    free(fifo);
}

static void test_json(void **state)
{
    assert_refused(open_header("{\"a\":", 0), EINVAL, file, "not JSON");
    assert_refused(open_header("{} x", 0), EINVAL, file, "not JSON");
    assert_refused(open_header("[1]", 0), EINVAL, file, "not a JSON object");
    assert_refused(open_header("{\"a\":1}", 0), EINVAL, file, "a is not a JSON object");
    assert_refused(open_header("{\"__metadata__\":[]}", 0), EINVAL, file, "__metadata__");
    assert_refused(open_header("{\"\xff\":{}}", 0), EINVAL, file, "not JSON");
    assert_refused(open_header("{" T("a", "[1]", "[0,4]") "," T("a", "[1]", "[4,8]") "}", 8),
                   EINVAL, file, "twice", "\"a\"");

    assert_refused(open_header("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4), EINVAL, file,
                   "tensor a has no dtype");
    assert_refused(open_header("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4), EINVAL,
                   file, "tensor a has no shape");
    assert_refused(open_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4), EINVAL, file,
                   "tensor a has no data_offsets");
    assert_refused(open_header("{" T("a", "[1]", "[0]") "}", 4), EINVAL, "a has no data_offsets");
    assert_refused(open_header("{" T("a", "[1]", "[0,4,8]") "}", 4), EINVAL, "no data_offsets");
    assert_refused(open_header("{" T("a", "[1]", "[0,4.0]") "}", 4), EINVAL, "no data_offsets");
    assert_refused(open_header("{" T("a", "[1.5]", "[0,4]") "}", 4), EINVAL, "dimension 0", " a ");
    assert_refused(open_header("{" T("a", "[2,-2]", "[0,4]") "}", 4), EINVAL, "dimension 1", " a ");
    assert_refused(open_header("{" T("a", "[99999999999999999999]", "[0,4]") "}", 4), EINVAL, file,
                   "not JSON"); /* passes 64 bits */
    assert_refused(open_header("{" T("a", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4),
                   EINVAL, file, "tensor a has 17 dimensions");
}

static void test_sizes(void **state)
{
    assert_refused(open_header("{" T("a", "[2,3]", "[0,20]") "}", 20), EINVAL, file, "tensor a",
                   "(2, 3)", "24 bytes", "20");
    /* Shapes whose bytes wrap round 64 bits, and 32. */
    assert_refused(open_header("{" T("a", "[4611686018427387904,4]", "[0,0]") "}", 0), EINVAL, file,
                   "tensor a", "(4611686018427387904, 4)", "larger than any file");
    assert_refused(open_header("{" T("a", "[4611686018427387904]", "[0,0]") "}", 0), EINVAL,
                   "larger than any file");
    assert_refused(open_header("{" T("a", "[65536,65536]", "[0,0]") "}", 0), EINVAL, "17179869184");
    assert_refused(open_header("{" T("a", "[4294967297]", "[0,4]") "}", 4), EINVAL, "17179869188");
    assert_ok(open_header("{" T("a", "[4611686018427387904,4,0]", "[0,0]") "}", 0));
}

static void test_layout(void **state)
{
    assert_refused(open_header("{" T("a", "[2]", "[0,8]") "}", 7), EINVAL, file, "cut short",
                   "tensor a ends at byte 8", "7 are there");
    assert_refused(
        open_header("{" T("a", "[2]", "[9223372036854775799,9223372036854775807]") "}", 8), EINVAL,
        file, "cut short", "tensor a");
    assert_refused(open_header("{" T("a", "[1]", "[-4,0]") "}", 4), EINVAL, file, "tensor a",
                   "byte -4");
    assert_refused(open_header("{" T("a", "[1]", "[4,0]") "}", 4), EINVAL, file, "tensor a",
                   "from byte 4 to byte 0");
    assert_refused(open_header("{" T("a", "[2]", "[0,8]") "," T("b", "[2]", "[4,12]") "}", 12),
                   EINVAL, file, "a and b overlap by 4 bytes");
    assert_refused(open_header("{" T("a", "[2]", "[0,8]") "," T("b", "[2]", "[0,8]") "}", 8),
                   EINVAL, file, "overlap by 8 bytes");
    assert_refused(open_header("{" T("a", "[2]", "[0,8]") "," T("b", "[2]", "[12,20]") "}", 20),
                   EINVAL, file, "hole of 4 bytes between a and tensor b");
    assert_refused(open_header("{" T("a", "[2]", "[4,12]") "}", 12), EINVAL, file,
                   "hole of 4 bytes between the header and tensor a");
    assert_refused(open_header("{" T("a", "[2]", "[0,8]") "}", 9), EINVAL, file,
                   "1 bytes follow the last tensor (a)");
    assert_refused(open_header("{}", 3), EINVAL, file, "3 bytes follow");
}

/* Every file that is one byte or more too short is refused, wherever it ends. */
static void test_every_truncation(void **state)
{
    size_t bytes;
    char *golden = file_read("tests/golden/small.safetensors", &bytes);
    for (size_t n = 0; n < bytes; n++) {
        file_write(file, golden, n);
        assert_refused(open_file(), EINVAL, file, "cut short");
    }
    file_write(file, golden, bytes);
    assert_ok(open_file());
    free(golden);
}

/* A file that shrinks under an open reader is an error, not old memory. */
static void test_shrinks_while_open(void **state)
{
    struct safetensors st;
    float data[4] = {0};
    safetensors_file(file, "{" T("a", "[4]", "[0,16]") "}", 16);
    assert_ok(safetensors_open(&st, file));
    assert_ok(truncate(file, (off_t)st.tensor[0].offset + 8));
    assert_refused(safetensors_read(&st, st.tensor, 0, data, 16), EINVAL, file, "cut short");
    assert_ok(safetensors_read(&st, st.tensor, 4, data, 4));
    assert_memory_equal(data, "\4\5\6\7", 4);
    safetensors_close(&st);
}

static void test_two_of_a_name_are_not_written(void **state)
{
    struct safetensors_out *out;
    assert_ok(safetensors_out_new(&out));
    assert_ok(safetensors_out_add(out, "a \"b\"", "F32", 0, NULL, 4));
    assert_refused(safetensors_out_add(out, "a \"b\"", "F32", 0, NULL, 4), EINVAL, "a \"b\"");
    assert_ok(safetensors_out_begin(out, file));
    assert_ok(safetensors_out_write(out, "1234", 4));
    assert_ok(safetensors_out_commit(out));
    safetensors_out_free(out);
    struct safetensors st;
    assert_ok(safetensors_open(&st, file));
    assert_string_equal(st.tensor[0].name, "a \"b\"");
    safetensors_close(&st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_files),
        cmocka_unit_test(test_header_length),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_shrinks_while_open),
        cmocka_unit_test(test_two_of_a_name_are_not_written),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
