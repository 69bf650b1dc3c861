/*
 * The subcommands. Each returns 0, a positive exit status (128 + a signal), or -errno with a
 * sentence: -EINVAL means that the words of the call are off, anything else that it failed. main
 * prints the sentence and picks the status.
 */
#ifndef ENGINE_COMMAND_H
#define ENGINE_COMMAND_H

#include "engine/config.h"

int cmd_train(const struct config *c);
int cmd_infer(const struct config *c);
int cmd_monitor(const struct config *c);
int cmd_inspect(const struct config *c);
int cmd_init(const struct config *c);
int cmd_convert(const struct config *c);
int cmd_merge(const struct config *c);
int cmd_doctor(const struct config *c);

#endif
