/*
 * Runs the built program as a user does: words in, exit status and both streams out, in an empty
 * folder of its own. Include after cmocka.h. The program is $SPARSE_ENGINE, else the one built in
 * this test's mode.
 *
 *     struct cli r;
 *     cli_run(&r, "train --model small --batches 3");
 *     assert_int_equal(r.status, 0);
 *     assert_non_null(strstr(r.out, "Trained 192 samples"));
 */
#ifndef TESTS_CLI_H
#define TESTS_CLI_H

#include <stddef.h>
#include <sys/types.h>

enum { CLI_OUT_BYTES = 1 << 18, CLI_ERR_BYTES = 1 << 14 };

struct cli {
    int status; /* as a shell has it: 128 + n where signal n ended it */
    char out[CLI_OUT_BYTES], err[CLI_ERR_BYTES];
};

/* For cmocka's group: enters a new empty folder, clears the program's variables. */
int cli_enter(void **state);
int cli_leave(void **state); /* removes it */

/* `words`: separated by one space; ">FILE" at the end sends stdout there. */
void cli_run(struct cli *r, const char *words);

/* Starts it and returns; cli_wait fills r. */
pid_t cli_start(const char *words);
void cli_wait_for(const char *text); /* until it stands in either stream */
void cli_wait(struct cli *r, pid_t pid);

/* Fails the test, with what the program said, unless the status is this and stderr holds `err`. */
void cli_expect(struct cli *r, const char *words, int status, const char *err);

/* A whole file, NUL after it, malloc'd; fails the test where it cannot be read. */
char *cli_file(const char *path, size_t *bytes);
void cli_write(const char *path, const void *data, size_t bytes);
void cli_same_files(const char *a, const char *b);
/* An IDX file of bytes, dimensions below 256. */
void cli_write_idx(const char *path, const int dim[], int ndim, const void *data, size_t bytes);
void cli_make_folders(const char *path);
void cli_remove(const char *path); /* with all that is in it */
void cli_write_mnist(void);        /* data/mnist, 22 samples in either split */
int cli_files_here(void);          /* how many there are in this folder */

#endif
