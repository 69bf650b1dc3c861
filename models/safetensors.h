/*
 * The safetensors container: 8 bytes little-endian header length, a JSON header (name -> dtype,
 * shape, data_offsets; optional __metadata__), then the tensors' bytes without hole or overlap. It
 * knows files, names and bytes, not models; weights.c is its caller. Reading checks everything at
 * open, so that what follows is plain reading.
 *
 *     struct safetensors st;
 *     if (safetensors_open(&st, path) < 0) ...
 *     const struct safetensors_tensor *t = safetensors_find(&st, "features.0.weight");
 *     safetensors_read(&st, t, 0, data, t->bytes);
 *     safetensors_close(&st);
 *
 *     struct safetensors_out *out;
 *     safetensors_out_new(&out);
 *     safetensors_out_add(out, "features.0.weight", "F32", 4, dim, bytes);  // in order
 *     safetensors_out_begin(out, path);                                     // a temporary file
 *     safetensors_out_write(out, data, bytes);                              // piece by piece
 *     safetensors_out_commit(out);                                          // fsync, rename
 *     safetensors_out_free(out);                                            // uncommitted: removed
 */
#ifndef MODELS_SAFETENSORS_H
#define MODELS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors is read and written as it lies in memory: little-endian machines only"
#endif

enum {
    SAFETENSORS_HEADER_MAX = 100000000, /* the format's own limit */
    SAFETENSORS_MAX_DIM = 16,           /* ours; PyTorch's files stay far below */
    SAFETENSORS_BLOCK_BYTES = 4 << 20,  /* what a caller streams with */
};

struct safetensors_tensor {
    const char *name, *dtype; /* lie in the header; valid until close */
    int ndim;
    int64_t dim[SAFETENSORS_MAX_DIM];
    uint64_t offset, bytes; /* in the file */
};

struct json_t;

struct safetensors {
    int fd;
    char *path;
    struct json_t *header;
    struct safetensors_tensor *tensor; /* in the order of the file */
    size_t ntensor;
};

/* Opens and checks the whole header. -EINVAL (or the file's errno) and a sentence that names file
 * and tensor: cut short, a length that cannot be, bad JSON, a name twice, a size that does not fit
 * the shape, overlap, hole, bytes after the last tensor. A dtype that this program does not know is
 * the caller's to refuse. May be followed by close after failing. */
int safetensors_open(struct safetensors *st, const char *path);
void safetensors_close(struct safetensors *st);

const struct safetensors_tensor *safetensors_find(const struct safetensors *st, const char *name);

/* A text of __metadata__, NULL where there is none of that key; valid until close. */
const char *safetensors_note(const struct safetensors *st, const char *key);

/* Bytes [from, from + bytes) of a tensor into data. */
int safetensors_read(const struct safetensors *st, const struct safetensors_tensor *t,
                     uint64_t from, void *data, size_t bytes);

size_t safetensors_dtype_bytes(const char *dtype); /* of one element; 0: no such dtype */

/* "(64, 3, 3, 3)" into text; returns text. */
char *safetensors_shape_text(int ndim, const int64_t *dim, char *text, size_t text_bytes);

struct safetensors_out;
int safetensors_out_new(struct safetensors_out **out);
/* A text for __metadata__. */
int safetensors_out_note(struct safetensors_out *out, const char *key, const char *text);
/* The next tensor's name, shape and size. -EINVAL where the name is there already. */
int safetensors_out_add(struct safetensors_out *out, const char *name, const char *dtype, int ndim,
                        const int64_t *dim, uint64_t bytes);
/* Makes the temporary file in path's folder, reserves its bytes and writes the header. */
int safetensors_out_begin(struct safetensors_out *out, const char *path);
int safetensors_out_write(struct safetensors_out *out, const void *data, size_t bytes);
/* Checks that every byte came, then puts the file in its place; on failure the old file stands. */
int safetensors_out_commit(struct safetensors_out *out);
void safetensors_out_free(struct safetensors_out *out); /* NULL is fine */

#endif
