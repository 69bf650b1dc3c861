/*
 * Weights on disk: safetensors, F32, names as PyTorch's state_dict; for darknet's models also its
 * own .weights, and files of the first N layers that are named *.conv.N. The name decides.
 * Streamed: memory beyond the model is one header and one block. A file is written beside its place
 * and renamed when whole, so nothing half-written is ever seen.
 */
#ifndef MODELS_WEIGHTS_H
#define MODELS_WEIGHTS_H

#include "models/model.h"

/* Fills this slice's parameters by name; tensors of other layers are passed over. Missing, wrong
 * dtype, wrong shape, overlap, truncation, a bad header: -EINVAL (or the file's errno) and a
 * sentence that names it. What a file of the first layers does not hold stays as it is. */
int weights_load(struct model *m, const char *path);

/* The weights that the program brings along with this model; m->shipped must be there. */
int weights_load_shipped(struct model *m);

/* N where the file is named *.conv.N: it holds the first N layers alone. 0: all of them. */
int weights_cutoff(const char *path);

/* This slice's parameters and running statistics. */
int weights_save(const struct model *m, const char *path);

/* 0 if `path` could be written (its folder exists and is writable): asked before a run, not
 * after it. */
int weights_writable(const char *path);

/* Several parts into one file; a name that two parts hold is refused. */
int weights_merge(const char *const part[], int npart, const char *path);

/* One named tensor (predictions) with the same rules; rows are appended as they come, `rows` in
 * all. */
struct weights_writer;
int weights_writer_open(struct weights_writer **w, const char *path, const char *name,
                        const struct tensor *shape);
int weights_writer_append(struct weights_writer *w, const float *data, size_t count);
int weights_writer_commit(struct weights_writer *w); /* checks that all came, renames */
void weights_writer_close(struct weights_writer *w); /* without commit: removes what was begun */

#endif
