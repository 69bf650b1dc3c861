/* The program: picks the subcommand, reads its words, prints its sentence, chooses the exit status.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "engine/command.h"

enum { STATUS_FAILED = 1, STATUS_WORDS = 2 };

static int (*const run[CMD_COUNT])(const struct config *c) = {
    [CMD_TRAIN] = cmd_train,     [CMD_INFER] = cmd_infer,   [CMD_MONITOR] = cmd_monitor,
    [CMD_INSPECT] = cmd_inspect, [CMD_INIT] = cmd_init,     [CMD_MERGE] = cmd_merge,
    [CMD_CONVERT] = cmd_convert, [CMD_DOCTOR] = cmd_doctor,
};

static int complain(int status)
{
    fprintf(stderr, "sparse-engine: %s\n", err_text());
    return status;
}

/* CMD_COUNT where there is no such subcommand. */
static enum command find_command(const char *name)
{
    int c = 0;
    while (c < CMD_COUNT && strcmp(name, command_name((enum command)c)))
        c++;
    return (enum command)c;
}

static int run_command(enum command c, int argc, char **argv)
{
    struct words words;
    if (options_parse(&words, c, argc, argv) < 0)
        return complain(STATUS_WORDS);
    if (words.help) {
        options_help(stdout, c);
        return 0;
    }
    log_set_level(words.value[OPT_VERBOSE] ? LOG_DEBUG
                  : words.value[OPT_QUIET] ? LOG_WARNING
                                           : LOG_INFO);
    struct config config;
    int ret = config_read(&config, &words);
    if (!ret)
        ret = run[c](&config);
    config_close(&config);
    return ret < 0 ? complain(config_exit_status(ret)) : ret;
}

int main(int argc, char **argv)
{
    int status;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* stdout and stderr stay in order in a log file */
    if (argc < 2) {
        options_overview(stderr);
        return STATUS_WORDS;
    }
    enum command c = find_command(argv[1]);
    if (c < CMD_COUNT) {
        status = run_command(c, argc - 2, argv + 2);
    } else if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        options_overview(stdout);
        status = 0;
    } else if (!strcmp(argv[1], "--version")) {
        puts("sparse-engine " SPARSE_VERSION);
        status = 0;
    } else {
        err_set(EINVAL, "there is no command \"%s\": see sparse-engine --help", argv[1]);
        return complain(STATUS_WORDS);
    }
    if ((fflush(stdout) == EOF || ferror(stdout)) && !status) {
        err_set(errno, "cannot write to the standard output: %s", strerror(errno));
        status = complain(STATUS_FAILED);
    }
    return status;
}
