/* Dotenv files: python-dotenv's rules row by row (each row checked against python-dotenv 1.2),
 * files that are none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "engine/dotenv.h"

static const struct {
    const char *text, *value; /* of A; NULL: A is not set */
} row[] = {
    {"", NULL},
    {"A=b", "b"},
    {"A=b\n", "b"},
    {"  A  =  b  \n", "b"},
    {"A=b\r\n", "b"},
    {"\r\n\rA=b\rB=c", "b"},
    {"export A=b", "b"},
    {"export\tA = b", "b"},
    {"exportA=b", NULL},
    {"export=b\nA=c", "c"},
    {"# A=b", NULL},
    {"#\nA=b", "b"},
    {"A=", ""},
    {"A=\nB=c", ""},
    {"A", NULL},
    {"A=b\nA", NULL},
    {"A=b\nA=c", "c"},
    {"A=b c", "b c"},
    {"A=b#c", "b#c"},
    {"A=b #c", "b"},
    {"A=b\t# c", "b"},
    {"A=#c", "#c"},
    {"A= #c", ""},
    {"A=b=c", "b=c"},
    {"A=b'c", "b'c"},
    {"A=\\n", "\\n"},
    {"A='b'", "b"},
    {"A='b #c' # d", "b #c"},
    {"A='it\\'s'", "it's"},
    {"A='b\\nc\\\\'", "b\\nc\\"},
    {"A=\"b\"", "b"},
    {"A=\"b\\tc\\n\\\"\\\\\\a\\b\\f\\r\\v\\'\"", "b\tc\n\"\\\a\b\f\r\v'"},
    {"A=\"b\\qc\"", "b\\qc"},
    {"A=\"b\nc\"\nB=d", "b\nc"},
    {"A='b\nc'", "b\nc"},
    {"A=\"\"", ""},
    {"A=''", ""},
    {"A=\"b\" # c", "b"},
    {"A=\"b\"c", NULL},
    {"A=\"b\"c\nA=d", "d"},
    {"A=\"b\nA=c", "c"},
    {"A='b\\'\nA=c", "c"},
    {"'A'=b", "b"},
    {"'A=b", NULL},
    {"=b\nA=c", "c"},
    {"a line of words\nA=b", "b"},
    {"B=x\nA=${B}y", "xy"},
    {"B=x\nA='${B}'", "x"},
    {"B=x\nA=$B", "$B"},
    {"A=${SPARSE_TEST_NONE}", ""},
    {"A=${SPARSE_TEST_NONE:-d}", "d"},
    {"A=${SPARSE_TEST_NONE:-}", ""},
    {"A=${SPARSE_TEST_SET}", "environment"},
    {"SPARSE_TEST_SET=file\nA=${SPARSE_TEST_SET:-d}", "environment"},
    {"A=${B", "${B"},
    {"A=${B:c}", "${B:c}"},
    {"A=b${}c", "bc"},
    {"A=\xC3\xA9", "\xC3\xA9"},
    {"\xEF\xBB\xBF"
     "A=b",
     "b"}, /* python-dotenv would call the name "\uFEFFA"; nobody means that */
};

static void test_rules(void **state)
{
    for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
        /* not terminated, so that a sanitizer sees a read beyond the text */
        size_t length = strlen(row[i].text);
        char *exact = malloc(length + !length);
        assert_non_null(exact);
        memcpy(exact, row[i].text, length);
        struct dotenv d;
        assert_int_equal(dotenv_parse(&d, exact, length, "test"), 0);
        const char *value = dotenv_get(&d, "A");
        if (!value != !row[i].value || (value && strcmp(value, row[i].value)))
            fail_msg("row %zu, \"%s\": \"%s\", wanted \"%s\"", i, row[i].text, value, row[i].value);
        dotenv_close(&d);
        free(exact);
    }
}

static void test_many(void **state)
{
    struct dotenv d;
    static const char text[] = "A=1\n\n# two\nexport B='2'\nC=\"3\"\nA=4\n";
    assert_int_equal(dotenv_parse(&d, text, strlen(text), "test"), 0);
    assert_string_equal(dotenv_get(&d, "A"), "4");
    assert_string_equal(dotenv_get(&d, "B"), "2");
    assert_string_equal(dotenv_get(&d, "C"), "3");
    assert_null(dotenv_get(&d, "D"));
    dotenv_close(&d);
    dotenv_close(&d); /* harmless */
}

static void write_file(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static void test_files(void **state)
{
    char folder[] = "/tmp/sparse-dotenv-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/env", folder);
    struct dotenv d;

    assert_int_equal(dotenv_read(&d, path), -ENOENT);
    assert_non_null(strstr(err_text(), path));
    assert_int_equal(dotenv_read(&d, folder), -EISDIR);

    write_file(path, "A=b\n", 4);
    assert_int_equal(dotenv_read(&d, path), 0);
    assert_string_equal(dotenv_get(&d, "A"), "b");
    dotenv_close(&d);

    write_file(path, "A=b\0c\n", 6);
    assert_int_equal(dotenv_read(&d, path), -EINVAL);
    assert_non_null(strstr(err_text(), "zero byte"));

    size_t bytes = (1 << 20) + 1;
    char *large = malloc(bytes);
    assert_non_null(large);
    memset(large, '#', bytes);
    write_file(path, large, bytes - 1);
    assert_int_equal(dotenv_read(&d, path), 0);
    dotenv_close(&d);
    write_file(path, large, bytes);
    assert_int_equal(dotenv_read(&d, path), -EFBIG);
    free(large);

    unlink(path);
    rmdir(folder);
}

int main(void)
{
    log_set_level(LOG_ERROR); /* rows that are passed over on purpose */
    setenv("SPARSE_TEST_SET", "environment", 1);
    unsetenv("SPARSE_TEST_NONE");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
