/*
 * A parameter's bytes from a file and into one, whichever format the file has: in place where this
 * process reaches them, else through a block, a part at a time. For weights.c and
 * darknet_weights.c; never in a step.
 */
#ifndef MODELS_PARAM_IO_H
#define MODELS_PARAM_IO_H

#include "models/model.h"

enum { PARAM_BLOCK_BYTES = 4 << 20 };

/* Reads or writes the bytes that lie `offset` bytes into the parameter; in order. -errno and a
 * sentence ends the rest. */
typedef int param_part_fn(void *arg, size_t offset, void *data, size_t bytes);

/* block: PARAM_BLOCK_BYTES. Return what read or write did, or the device's error. */
int param_load(const struct model *m, const struct param *p, void *block, param_part_fn *read,
               void *arg);
int param_save(const struct model *m, const struct param *p, void *block, param_part_fn *write,
               void *arg);

#endif
