/*
 * A check in a process of its own, for what ends a process and for settings that are read once.
 *
 *     check_child("devices=0", no_device, NULL);        // returns NULL: right
 *     check_child("", out_of_bounds, "use-after-poison");  // must end badly, and say so
 *
 * fn returns NULL or what was wrong. Include after cmocka.h.
 */
#ifndef TESTS_CHILD_H
#define TESTS_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

static inline void child_run(const char *(*fn)(void))
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    alarm(60);
    for (int s = SIGILL; s <= SIGSEGV; s++) /* cmocka's handlers would go on with its next test */
        signal(s, SIG_DFL);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_set_report_path("stderr"); /* this report is wanted, run_tests.sh need not know */
#endif
    const char *wrong = fn();
    if (wrong)
        fprintf(stderr, "WRONG: %s\n", wrong);
    fflush(NULL);
    exit(wrong ? 3 : 0);
}

/* Whether fn finds nothing wrong, in a process that leaves no trace in this one. */
static inline bool child_says(const char *(*fn)(void))
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn() ? 3 : 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Runs fn with CUDA_EMU=settings. ends_with NULL: it must return NULL; else it must die, and its
 * last words must hold this. */
static inline void check_child(const char *settings, const char *(*fn)(void), const char *ends_with)
{
    int pipes[2], status;
    static char said[1 << 16];
    assert_int_equal(pipe(pipes), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("CUDA_EMU", settings, 1);
        dup2(pipes[1], 2);
        close(pipes[0]);
        close(pipes[1]);
        child_run(fn);
    }
    close(pipes[1]);
    size_t n = 0;
    for (ssize_t got; (got = read(pipes[0], said + n, sizeof(said) - 1 - n)) > 0;)
        n += (size_t)got;
    said[n] = 0;
    close(pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        snprintf(said + n, sizeof(said) - n, "%s\n", strsignal(WTERMSIG(status)));
    bool right = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    bool wrong = WIFEXITED(status) && WEXITSTATUS(status) == 3;
    if (ends_with ? right || wrong || !strstr(said, ends_with) : !right)
        fail_msg("with \"%s\": status 0x%x, wanted %s, said:\n%s", settings, status,
                 ends_with ? ends_with : "success", said);
}

#endif
