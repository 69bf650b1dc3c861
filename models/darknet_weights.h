/*
 * darknet's .weights: three int32 (major, minor, revision), how many pictures were seen (64 bits
 * from version 0.2 on, else 32), then the floats of each convolutional layer in order: bias, of
 * batch-norm scale, mean and variance, then the kernel. No names, no shapes: the model says what
 * they are. weights.c sends files here by their names.
 */
#ifndef MODELS_DARKNET_WEIGHTS_H
#define MODELS_DARKNET_WEIGHTS_H

#include "models/model.h"

/* True for names that end in .weights or, as darknet calls files of the first N layers, in
 * .conv.N. */
bool darknet_weights_named(const char *path);

/* N of ".conv.N"; 0: a file of all layers. */
int darknet_weights_cutoff(const char *path);

/* Fills the slice's layers that the file holds, streaming; the others' are passed over. A size that
 * is not exactly what the model's layers need: -EINVAL and a sentence. */
int darknet_weights_load(struct model *m, const char *path);

/* The same of such a file of all layers in memory; `name` is for the sentences. */
int darknet_weights_load_bytes(struct model *m, const char *name, const void *file, size_t bytes);

/* The slice must hold all layers that the file is to hold. */
int darknet_weights_save(const struct model *m, const char *path);

#endif
