/* `train` of the roles that listen, for cmd_train.c, which holds those that read the data. */
#ifndef ENGINE_TRAIN_H
#define ENGINE_TRAIN_H

#include "engine/config.h"

/* As cmd_train. */
int train_worker(const struct config *c);

#endif
