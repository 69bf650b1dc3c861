/*
 * A shape over borrowed bytes: row-major, contiguous; images are (N, C, H, W), flat data (N,
 * features). Copied by value, never freed: the buffer it lies in is. data is NULL while planning.
 */
#ifndef KERNELS_TENSOR_H
#define KERNELS_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_I32, DTYPE_U8, DTYPE_COUNT };

enum { TENSOR_MAX_DIM = 4 };

struct tensor {
    enum dtype dtype;
    int ndim;
    int dim[TENSOR_MAX_DIM];
    enum place place;
    void *data;
};

size_t dtype_bytes(enum dtype t);
const char *dtype_name(enum dtype t); /* as safetensors spells it: "F32", "F16", "I32", "U8" */

/* A float tensor without data. */
struct tensor tensor_f32(int ndim, const int dim[]);
size_t tensor_count(const struct tensor *t); /* elements; 1 for ndim 0 */
size_t tensor_bytes(const struct tensor *t);
/* elements of one sample: all dimensions but the first */
size_t tensor_row(const struct tensor *t);
int tensor_same_shape(const struct tensor *a, const struct tensor *b);

/* "(64, 3, 32, 32)" into text; returns text. */
char *tensor_shape_text(const struct tensor *t, char *text, size_t text_bytes);

static inline float *tensor_floats(const struct tensor *t)
{
    return (float *)t->data;
}

/*
 * Carves aligned runs out of one buffer; with buf NULL it only counts, so that the same code plans
 * the size and then places the tensors:
 *
 *     struct arena a = {NULL, 0};
 *     place_everything(&a);                        // a.used is now the size
 *     buffer_open(&buf, dev, PLACE_DEVICE, a.used, "activations");
 *     a = (struct arena){&buf, 0};
 *     place_everything(&a);
 */
struct arena {
    struct buffer *buf;
    size_t used;
};

enum { ARENA_ALIGN = 64 };

/* Returns NULL while counting. CHECKs that what was planned suffices. */
void *arena_take(struct arena *a, size_t bytes);

/* Gives t its place: sets t->data and t->place. */
void arena_place(struct arena *a, struct tensor *t);

#ifdef __cplusplus
}
#endif
#endif
