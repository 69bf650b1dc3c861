/* Shapes, their sizes, and the arena that gives them a place. */
#include "kernels/tensor.h"

#include <stdio.h>

#include "base/err.h"

static const struct {
    const char *name;
    size_t bytes;
} dtypes[DTYPE_COUNT] = {
    [DTYPE_F32] = {"F32", 4},
    [DTYPE_F16] = {"F16", 2},
    [DTYPE_I32] = {"I32", 4},
    [DTYPE_U8] = {"U8", 1},
};

size_t dtype_bytes(enum dtype t)
{
    CHECK((unsigned)t < DTYPE_COUNT);
    return dtypes[t].bytes;
}

const char *dtype_name(enum dtype t)
{
    CHECK((unsigned)t < DTYPE_COUNT);
    return dtypes[t].name;
}

struct tensor tensor_f32(int ndim, const int dim[])
{
    CHECK(ndim >= 0 && ndim <= TENSOR_MAX_DIM);
    struct tensor t = {.dtype = DTYPE_F32, .ndim = ndim};
    for (int i = 0; i < ndim; i++) {
        CHECK(dim[i] >= 0);
        t.dim[i] = dim[i];
    }
    return t;
}

static size_t count_from(const struct tensor *t, int first)
{
    size_t n = 1;
    for (int i = first; i < t->ndim; i++)
        CHECK(!__builtin_mul_overflow(n, (size_t)t->dim[i], &n));
    return n;
}

size_t tensor_count(const struct tensor *t)
{
    return count_from(t, 0);
}

size_t tensor_bytes(const struct tensor *t)
{
    size_t bytes;
    CHECK(!__builtin_mul_overflow(tensor_count(t), dtype_bytes(t->dtype), &bytes));
    return bytes;
}

size_t tensor_row(const struct tensor *t)
{
    return count_from(t, 1);
}

int tensor_same_shape(const struct tensor *a, const struct tensor *b)
{
    if (a->ndim != b->ndim)
        return 0;
    for (int i = 0; i < a->ndim; i++)
        if (a->dim[i] != b->dim[i])
            return 0;
    return 1;
}

char *tensor_shape_text(const struct tensor *t, char *text, size_t text_bytes)
{
    size_t used = 0;
    for (int i = 0; i < t->ndim && used < text_bytes; i++)
        used += (size_t)snprintf(text + used, text_bytes - used, "%s%d", i ? ", " : "(", t->dim[i]);
    if (used < text_bytes)
        snprintf(text + used, text_bytes - used, t->ndim ? ")" : "()");
    return text;
}

void *arena_take(struct arena *a, size_t bytes)
{
    size_t start = (a->used + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    CHECK(start >= a->used && !__builtin_add_overflow(start, bytes, &a->used));
    if (!a->buf)
        return NULL;
    CHECK(a->used <= a->buf->bytes);
    return (char *)a->buf->base + start;
}

void arena_place(struct arena *a, struct tensor *t)
{
    t->data = arena_take(a, tensor_bytes(t));
    if (a->buf)
        t->place = a->buf->place;
}
