/* The value of one option, parsed into the config: config.c calls it once for each option that was
 * given. */
#ifndef ENGINE_CONFIG_WORDS_H
#define ENGINE_CONFIG_WORDS_H

#include "engine/config.h"

/* -EINVAL and a sentence with what was wanted and what was there. */
int config_word(struct config *c, enum option o, const char *text);

/* auto, cpu or cuda[:N]; the sentence names `what` it was told by. */
int config_device(struct config *c, const char *what, const char *text);

#endif
