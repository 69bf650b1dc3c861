/*
 * The words of a call: one table of options for every subcommand, parsing by that table, and the
 * help printed from it. What the words mean is config.h's part. Long options only: "--name value"
 * or "--name=value"; a name may be cut short where that leaves one option, as argparse does; "--"
 * ends the options.
 *
 *     struct words w;
 *     if (options_parse(&w, CMD_TRAIN, argc, argv) < 0) ...      // err_text says why: exit 2
 *     if (w.help) options_help(stdout, CMD_TRAIN);
 *     w.value[OPT_MODEL]                                         // NULL where it was not given
 */
#ifndef ENGINE_OPTIONS_H
#define ENGINE_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

enum command {
    CMD_TRAIN,
    CMD_INFER,
    CMD_MONITOR,
    CMD_INSPECT,
    CMD_INIT,
    CMD_CONVERT,
    CMD_MERGE,
    CMD_DOCTOR,
    CMD_COUNT
};

enum option {
    OPT_ROLE,
    OPT_MODEL,
    OPT_LAYERS,
    OPT_CODEC,
    OPT_WIRE_DTYPE,
    OPT_DATASET,
    OPT_DATA_DIR,
    OPT_BATCH_SIZE,
    OPT_BATCHES,
    OPT_EPOCHS,
    OPT_LR,
    OPT_MOMENTUM,
    OPT_WEIGHT_DECAY,
    OPT_DROPOUT,
    OPT_SHUFFLE,
    OPT_SEED,
    OPT_MICRO_BATCHES,
    OPT_WEIGHTS,
    OPT_SAVE,
    OPT_LOG,
    OPT_DEVICE,
    OPT_THREADS,
    OPT_ISA,
    OPT_CONV_ALGO,
    OPT_MATH,
    OPT_UPSTREAM,
    OPT_LISTEN,
    OPT_TRANSPORT,
    OPT_INFERENCES,
    OPT_IN_FLIGHT,
    OPT_ANSWER,
    OPT_IMAGES,
    OPT_CONF,
    OPT_NMS,
    OPT_SAVE_DETECTIONS,
    OPT_LETTERBOX,
    OPT_JSON,
    OPT_OUTPUT,
    OPT_RATE,
    OPT_TIMEOUT,
    OPT_INTERFACE,
    OPT_HTTP,
    OPT_ENV_FILE,
    OPT_QUIET,
    OPT_VERBOSE,
    OPT_NO_FOLD,
    OPT_NO_MONITOR,
    OPT_NODE_NAME,
    OPT_HELP,
    OPT_COUNT
};

/* What a role must have for an option to make sense. */
enum option_needs { NEEDS_NOTHING, NEEDS_UPSTREAM, NEEDS_LISTENER, NEEDS_NEIGHBOUR, NEEDS_DATA };

struct option_spec {
    const char *name;     /* without the dashes */
    const char *alias[2]; /* other spellings, the original's */
    const char *arg;      /* what its value is called in the help; NULL: it takes none */
    unsigned commands;    /* 1u << enum command, or-ed */
    enum option_needs needs;
    const char *help;
};

struct words {
    enum command command;
    const char *value[OPT_COUNT]; /* "" for an option without a value; the last one given counts */
    char **operand; /* the other words, in order: they are moved to the start of argv */
    int noperand;
    bool help;
};

const struct option_spec *option_spec(enum option o);
const char *option_help(enum option o, enum command c); /* what it means to this command */
const char *command_name(enum command c);
const char *command_summary(enum command c);  /* one line */
const char *command_operands(enum command c); /* what the help calls them, " PART..." or "" */

/* argv[0] is the first word after the subcommand; argv is reordered and kept. -EINVAL and a
 * sentence. */
int options_parse(struct words *w, enum command c, int argc, char **argv);

void options_help(FILE *to, enum command c);
void options_overview(FILE *to); /* the help of the program itself */

#endif
