/* Several parts of a model's weights into one file. Tensors of any dtype are carried over, so that
 * a part that PyTorch wrote (num_batches_tracked, say) merges as well. */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "models/safetensors.h"
#include "models/weights.h"

struct piece {
    const struct safetensors *from;
    const struct safetensors_tensor *tensor;
};

/* Large elements first, as the format's own writers do, so that each tensor lies at a multiple of
 * its element; then in the order of the parts and of their data. */
static int by_alignment(const void *a, const void *b)
{
    const struct piece *s = a, *t = b;
    size_t s_bytes = safetensors_dtype_bytes(s->tensor->dtype),
           t_bytes = safetensors_dtype_bytes(t->tensor->dtype);
    if (s_bytes != t_bytes)
        return s_bytes > t_bytes ? -1 : 1;
    if (s->from != t->from)
        return s->from < t->from ? -1 : 1;
    return s->tensor < t->tensor ? -1 : 1;
}

/* The path of the first part that holds the name, NULL if none does. */
static const char *holder_of(const struct safetensors *part, int npart, const char *name)
{
    for (int i = 0; i < npart; i++)
        if (safetensors_find(&part[i], name))
            return part[i].path;
    return NULL;
}

static int copy_piece(struct safetensors_out *out, const struct piece *p, void *block)
{
    for (uint64_t at = 0; at < p->tensor->bytes; at += SAFETENSORS_BLOCK_BYTES) {
        uint64_t left = p->tensor->bytes - at;
        size_t bytes = left < SAFETENSORS_BLOCK_BYTES ? (size_t)left : SAFETENSORS_BLOCK_BYTES;
        int ret = safetensors_read(p->from, p->tensor, at, block, bytes);
        if (ret == 0)
            ret = safetensors_out_write(out, block, bytes);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int write_pieces(struct piece *piece, size_t npiece, const char *path, void *block)
{
    struct safetensors_out *out;
    int ret = safetensors_out_new(&out);
    for (size_t i = 0; i < npiece && ret == 0; i++)
        ret = safetensors_out_add(out, piece[i].tensor->name, piece[i].tensor->dtype,
                                  piece[i].tensor->ndim, piece[i].tensor->dim,
                                  piece[i].tensor->bytes);
    if (ret == 0)
        ret = safetensors_out_begin(out, path);
    for (size_t i = 0; i < npiece && ret == 0; i++)
        ret = copy_piece(out, &piece[i], block);
    if (ret == 0)
        ret = safetensors_out_commit(out);
    safetensors_out_free(out);
    return ret;
}

static int merge_open_parts(const struct safetensors *part, int npart, const char *path)
{
    size_t total = 0, n = 0;
    for (int i = 0; i < npart; i++) {
        total += part[i].ntensor;
        for (size_t t = 0; t < part[i].ntensor; t++) {
            const char *name = part[i].tensor[t].name, *other = holder_of(part, i, name);
            if (other)
                return err_set(EINVAL, "cannot merge: tensor %s is in %s and in %s", name, other,
                               part[i].path);
        }
    }
    struct piece *piece = calloc(total + 1, sizeof(*piece));
    void *block = malloc(SAFETENSORS_BLOCK_BYTES);
    int ret = 0;
    if (!piece || !block)
        ret = err_set(ENOMEM, "no memory to merge %zu tensors", total);
    for (int i = 0; i < npart && ret == 0; i++)
        for (size_t t = 0; t < part[i].ntensor; t++)
            piece[n++] = (struct piece){.from = &part[i], .tensor = &part[i].tensor[t]};
    if (ret == 0) {
        qsort(piece, n, sizeof(*piece), by_alignment);
        ret = write_pieces(piece, n, path, block);
    }
    free(block);
    free(piece);
    return ret;
}

int weights_merge(const char *const path_of[], int npart, const char *path)
{
    if (npart < 1)
        return err_set(EINVAL, "nothing to merge into %s: name the parts", path);
    struct safetensors *part = calloc((size_t)npart, sizeof(*part));
    if (!part)
        return err_set(ENOMEM, "no memory to merge %d files", npart);
    int ret = 0, opened = 0;
    for (; opened < npart && ret == 0; opened++)
        ret = safetensors_open(&part[opened], path_of[opened]);
    if (ret == 0)
        ret = merge_open_parts(part, npart, path);
    while (opened > 0)
        safetensors_close(&part[--opened]);
    free(part);
    return ret;
}
