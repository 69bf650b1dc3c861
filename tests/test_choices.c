/*
 * The file of choices between own kernels and cuDNN's: kept, read again, shared by processes that
 * plan at once; broken, foreign, or not writable. No GPU is asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "engine/choices.h"

static char dir[64], path[128], said[4096];
static const char *folder = dir; /* what is passed as the data directory */

static const double ms[2] = {0.25, 0.125}, not_measured[2] = {0.25, -1};

static struct choices *opened(const char *machine)
{
    struct choices *c;
    if (choices_open(&c, folder, machine) < 0)
        fail_msg("%s", err_text());
    return c;
}

static int find(struct choices *c, const char *key)
{
    return choices_book(c)->find(choices_book(c), key);
}

static void keep(struct choices *c, const char *key, int way, const double measured[2])
{
    choices_book(c)->keep(choices_book(c), key, way, measured);
}

static void write_text(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* What fn says on stderr, in `said`; how many lines. */
static int lines_of(void (*fn)(void))
{
    char name[] = "/tmp/choices-said-XXXXXX";
    int fd = mkstemp(name), before = dup(2), lines = 0;
    assert_true(fd >= 0 && before >= 0);
    unlink(name);
    dup2(fd, 2);
    fn();
    dup2(before, 2);
    close(before);
    ssize_t n = pread(fd, said, sizeof(said) - 1, 0);
    close(fd);
    said[n > 0 ? n : 0] = '\0';
    for (const char *at = said; (at = strchr(at, '\n')); at++)
        lines++;
    return lines;
}

static int fresh(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static void kept_choices_are_found(void **state)
{
    (void)state;
    struct choices *c = opened("card A"), *other;
    assert_int_equal(find(c, "one"), -1);
    keep(c, "one", 1, ms);
    assert_int_equal(find(c, "two"), -1);
    keep(c, "two", 0, not_measured);
    assert_int_equal(find(c, "one"), 1);
    choices_close(c);

    c = opened("card A");
    assert_int_equal(find(c, "one"), 1);
    assert_int_equal(find(c, "two"), 0);
    other = opened("card B"); /* another machine's choices are its own */
    assert_int_equal(find(other, "one"), -1);
    keep(other, "one", 0, ms);
    choices_close(other);
    choices_close(c);

    json_t *all = json_load_file(path, 0, NULL);
    json_t *a = json_object_get(json_object_get(all, "choices"), "card A");
    assert_string_equal(json_string_value(json_object_get(json_object_get(a, "one"), "take")),
                        "cudnn");
    assert_true(json_real_value(json_object_get(json_object_get(a, "one"), "own_ms")) == 0.25);
    assert_true(json_is_null(json_object_get(json_object_get(a, "two"), "cudnn_ms")));
    json_decref(all);
}

/* A process that measures is waited for, and what it found is taken. */
static void the_later_takes_the_earlier_ones(void **state)
{
    (void)state;
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct choices *c = opened("card");
        if (find(c, "shape") != -1 || write(told[1], "m", 1) != 1)
            _exit(1);
        usleep(200000);
        keep(c, "shape", 1, ms);
        _exit(0);
    }
    char byte;
    struct choices *c = opened("card"); /* it has read the file, which is not there yet */
    assert_int_equal(read(told[0], &byte, 1), 1);
    assert_int_equal(find(c, "shape"), 1);
    choices_close(c);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(told[0]);
    close(told[1]);
}

/* Many processes, many shapes: every one is measured once, and nothing is lost. */
static void processes_lose_nothing(void **state)
{
    (void)state;
    enum { PROCESSES = 4, SHAPES = 12 };
    int measured[2], count = 0;
    assert_int_equal(pipe(measured), 0);
    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0) {
            struct choices *c = opened("card");
            for (int k = 0; k < SHAPES; k++) {
                char key[16];
                snprintf(key, sizeof(key), "shape %d", (k + 3 * i) % SHAPES);
                if (find(c, key) >= 0)
                    continue;
                if (write(measured[1], "m", 1) != 1)
                    _exit(1);
                keep(c, key, i % 2, ms);
            }
            _exit(0);
        }
    close(measured[1]);
    for (char byte; read(measured[0], &byte, 1) == 1;)
        count++;
    close(measured[0]);
    for (int status; wait(&status) > 0;)
        assert_int_equal(status, 0);
    assert_int_equal(count, SHAPES);
    struct choices *c = opened("card");
    for (int k = 0; k < SHAPES; k++) {
        char key[16];
        snprintf(key, sizeof(key), "shape %d", k);
        assert_true(find(c, key) >= 0);
    }
    choices_close(c);
}

static void measure_anew(void)
{
    struct choices *c = opened("card");
    assert_int_equal(find(c, "shape"), -1);
    keep(c, "shape", 1, ms);
    assert_int_equal(find(c, "other"), -1);
    keep(c, "other", 0, ms);
    choices_close(c);
}

static void find_both(void)
{
    struct choices *c = opened("card");
    assert_int_equal(find(c, "shape"), 1);
    assert_int_equal(find(c, "other"), 0);
    choices_close(c);
}

static void broken_files_are_told_of_once(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        "{\"format\": \"sparse-engine choices 1\", \"choices\": {",
        "[1, 2, 3]",
        "{\"format\": \"another program's\", \"choices\": {}}",
        "{\"format\": \"sparse-engine choices 1\", \"choices\": []}",
        "{\"format\": \"sparse-engine choices 1\", \"choices\": {\"card\": 7}}",
        ("{\"format\": \"sparse-engine choices 1\", \"choices\": {\"card\": {\"shape\": "
         "{\"take\": \"guess\"}}}}"),
    };
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        write_text(broken[i]);
        int lines = lines_of(measure_anew);
        if (lines != 1 || !strstr(said, path))
            fail_msg("%s: %d lines: %s", broken[i], lines, said);
        assert_int_equal(lines_of(find_both), 0); /* the file is whole again */
    }
}

static void unwritable_folders_are_told_of_once(void **state)
{
    (void)state;
    write_text("not a folder");
    folder = path;
    int lines = lines_of(measure_anew); /* and within the process a choice stays */
    folder = dir;
    assert_int_equal(lines, 1);
    assert_non_null(strstr(said, "is not kept"));
    assert_non_null(strstr(said, "Not a directory"));
}

/* Shapes that are known are taken from a folder that can only be read. */
static void known_choices_want_no_lock(void **state)
{
    (void)state;
    char locked[160];
    measure_anew();
    snprintf(locked, sizeof(locked), "%s.lock", path);
    unlink(locked);
    assert_int_equal(mkdir(locked, 0777), 0); /* no file can be opened there */
    assert_int_equal(lines_of(find_both), 0);
    rmdir(locked);
}

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test_choices-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/cudnn-choices.json", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    char locked[160];
    snprintf(locked, sizeof(locked), "%s.lock", path);
    unlink(path);
    unlink(locked);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(kept_choices_are_found, fresh),
        cmocka_unit_test_setup(the_later_takes_the_earlier_ones, fresh),
        cmocka_unit_test_setup(processes_lose_nothing, fresh),
        cmocka_unit_test_setup(broken_files_are_told_of_once, fresh),
        cmocka_unit_test_setup(unwritable_folders_are_told_of_once, fresh),
        cmocka_unit_test_setup(known_choices_want_no_lock, fresh),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
