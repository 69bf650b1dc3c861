/* Running the built program: posix_spawn, its streams into files outside the folder it works in. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/cli.h"

enum { MAX_WORDS = 40, PATH_BYTES = PATH_MAX, WAIT_SECONDS = 100 };

extern char **environ;

static char program[PATH_BYTES], folder[] = "/tmp/sparse-cli-XXXXXX";
static char out_path[PATH_BYTES], err_path[PATH_BYTES];

/* build/MODE/tests/test_x -> build/MODE/sparse-engine, build/sparse-engine for release. */
static int find_program(void)
{
    const char *given = getenv("SPARSE_ENGINE");
    if (given && *given)
        return realpath(given, program) && !access(program, X_OK) ? 0 : -1;
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 32);
    if (n < 0)
        return -1;
    program[n] = 0;
    for (int up = 0; up < 2; up++) /* off with the test's name and tests/ */
        *strrchr(program, '/') = 0;
    char *mode = strrchr(program, '/');
    strcpy(!strcmp(mode, "/release") ? mode : mode + strlen(mode), "/sparse-engine");
    return access(program, X_OK);
}

int cli_enter(void **state)
{
    static const char *const variables[] = {"MASTER_UPSTREAM_HOST", "MASTER_UPSTREAM_PORT",
                                            "WORKER_LISTEN_ADDRESS", "WORKER_LISTEN_PORT",
                                            "SPARSE_DATA_DIR"};
    for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++)
        unsetenv(variables[i]);
    if (find_program()) {
        fprintf(stderr, "%s is not there: build it first\n", program);
        return -1;
    }
    if (!mkdtemp(folder) || chdir(folder))
        return -1;
    snprintf(out_path, sizeof(out_path), "%s.out", folder);
    snprintf(err_path, sizeof(err_path), "%s.err", folder);
    return 0;
}

int cli_leave(void **state)
{
    char command[PATH_BYTES];
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    unlink(out_path);
    unlink(err_path);
    return chdir("/") || system(command);
}

pid_t cli_start(const char *words)
{
    static char line[2048];
    char *argv[MAX_WORDS + 1] = {program};
    const char *out = out_path;
    int argc = 1;
    assert_true(strlen(words) < sizeof(line));
    strcpy(line, words);
    for (char *save, *p = strtok_r(line, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
        assert_true(argc < MAX_WORDS);
        if (*p == '>')
            out = p + 1;
        else
            argv[argc++] = p;
    }
    posix_spawn_file_actions_t actions;
    pid_t pid;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    posix_spawn_file_actions_addopen(&actions, 2, err_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int ret = posix_spawn(&pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    assert_int_equal(ret, 0);
    return pid;
}

static void read_text(char *text, size_t bytes, const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, bytes - 1, f);
    text[n] = 0;
    assert_true(feof(f) || n == bytes - 1);
    fclose(f);
}

void cli_wait_for(const char *text)
{
    static struct cli r;
    for (int i = 0; i < WAIT_SECONDS * 100; i++) {
        read_text(r.out, sizeof(r.out), out_path);
        read_text(r.err, sizeof(r.err), err_path);
        if (strstr(r.out, text) || strstr(r.err, text))
            return;
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    fail_msg("no \"%s\" within %d s: %s%s", text, WAIT_SECONDS, r.out, r.err);
}

void cli_wait(struct cli *r, pid_t pid)
{
    int status = 0;
    pid_t got = 0;
    for (int i = 0; i < WAIT_SECONDS * 100 && !got; i++) {
        got = waitpid(pid, &status, WNOHANG);
        if (!got)
            nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    if (!got) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        read_text(r->err, sizeof(r->err), err_path);
        fail_msg("the program did not end within %d s: %s", WAIT_SECONDS, r->err);
    }
    r->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    read_text(r->out, sizeof(r->out), out_path);
    read_text(r->err, sizeof(r->err), err_path);
}

void cli_run(struct cli *r, const char *words)
{
    cli_wait(r, cli_start(words));
}

void cli_expect(struct cli *r, const char *words, int status, const char *err)
{
    cli_run(r, words);
    if (r->status != status || (err && !strstr(r->err, err)))
        fail_msg("\"%s\": status %d, stderr: %sstdout: %s", words, r->status, r->err, r->out);
}

char *cli_file(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *bytes = (size_t)ftell(f);
    rewind(f);
    char *data = malloc(*bytes + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *bytes, f), *bytes);
    data[*bytes] = 0;
    fclose(f);
    return data;
}

void cli_write(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

void cli_same_files(const char *a, const char *b)
{
    size_t a_bytes, b_bytes;
    char *a_data = cli_file(a, &a_bytes), *b_data = cli_file(b, &b_bytes);
    if (a_bytes != b_bytes || memcmp(a_data, b_data, a_bytes))
        fail_msg("%s (%zu bytes) and %s (%zu bytes) differ", a, a_bytes, b, b_bytes);
    free(a_data);
    free(b_data);
}

void cli_write_idx(const char *path, const int dim[], int ndim, const void *data, size_t bytes)
{
    unsigned char head[16] = {0, 0, 8, (unsigned char)ndim};
    for (int i = 0; i < ndim; i++)
        head[4 + 4 * i + 3] = (unsigned char)dim[i];
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(head, 4 + 4 * (size_t)ndim, 1, f), 1);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static void shell(const char *command, const char *path)
{
    char line[PATH_BYTES];
    snprintf(line, sizeof(line), "%s '%s'", command, path);
    assert_int_equal(system(line), 0);
}

void cli_make_folders(const char *path)
{
    shell("mkdir -p", path);
}

void cli_remove(const char *path)
{
    shell("rm -r", path);
}

void cli_write_mnist(void)
{
    static unsigned char pixels[22 * 28 * 28], labels[22];
    const int dim[] = {22, 28, 28};
    for (size_t i = 0; i < sizeof(pixels); i++)
        pixels[i] = (unsigned char)(i * i >> 5);
    for (int i = 0; i < 22; i++)
        labels[i] = (unsigned char)(i % 10);
    cli_make_folders("data/mnist");
    cli_write_idx("data/mnist/train-images-idx3-ubyte", dim, 3, pixels, sizeof(pixels));
    cli_write_idx("data/mnist/train-labels-idx1-ubyte", dim, 1, labels, sizeof(labels));
    cli_write_idx("data/mnist/t10k-images-idx3-ubyte", dim, 3, pixels, sizeof(pixels));
    cli_write_idx("data/mnist/t10k-labels-idx1-ubyte", dim, 1, labels, sizeof(labels));
}

int cli_files_here(void)
{
    DIR *d = opendir(".");
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n;
}
