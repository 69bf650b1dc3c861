/* `train` and `infer` of the roles that listen. */
#ifndef ENGINE_SERVE_H
#define ENGINE_SERVE_H

#include "engine/config.h"

/* As cmd_train. */
int serve(const struct config *c);

#endif
