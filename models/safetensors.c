/*
 * Reading safetensors files. Nothing in a file is believed before it is checked: the header's
 * length against the file's, each tensor's size against its shape, and all of them against each
 * other and the end of the file.
 */
#include "models/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

size_t safetensors_dtype_bytes(const char *dtype)
{
    static const struct {
        const char *name;
        size_t bytes;
    } known[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8},     {"I64", 8},
                 {"U64", 8}, {"I32", 4}, {"U32", 4},  {"I16", 2},     {"U16", 2},
                 {"I8", 1},  {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i].name, dtype) == 0)
            return known[i].bytes;
    return 0;
}

char *safetensors_shape_text(int ndim, const int64_t *dim, char *text, size_t text_bytes)
{
    size_t used = (size_t)snprintf(text, text_bytes, "(");
    for (int i = 0; i < ndim && used < text_bytes; i++)
        used +=
            (size_t)snprintf(text + used, text_bytes - used, "%s%" PRId64, i ? ", " : "", dim[i]);
    if (used < text_bytes)
        snprintf(text + used, text_bytes - used, "%s)", ndim == 1 ? "," : "");
    return text;
}

static int read_at(const struct safetensors *st, uint64_t offset, void *data, size_t bytes)
{
    char *to = data;
    while (bytes > 0) {
        ssize_t n = pread(st->fd, to, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(errno, "cannot read %s: %s", st->path, strerror(errno));
        if (n == 0)
            return err_set(EINVAL, "%s is cut short: it ends at byte %" PRIu64, st->path, offset);
        to += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int no_memory(const struct safetensors *st, uint64_t length)
{
    return err_set(ENOMEM, "no memory for the header of %s (%" PRIu64 " bytes)", st->path, length);
}

static int parse_header(struct safetensors *st, const char *text, uint64_t length)
{
    json_error_t error;
    st->header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(st->header)) {
        /* Where memory ends while a token grows, jansson 2.14 drops a letter of it and goes on; it
         * does not do so twice alike. */
        json_t *again = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
        bool same = json_equal(st->header, again);
        json_decref(again);
        return same ? 0 : no_memory(st, length);
    }
    if (st->header)
        return err_set(EINVAL, "%s: the header is not a JSON object", st->path);
    /* Where memory ends, jansson has nothing to say. */
    if (error.text[0] == 0 || json_error_code(&error) == json_error_out_of_memory)
        return no_memory(st, length);
    if (json_error_code(&error) == json_error_duplicate_key)
        return err_set(EINVAL, "%s: a name stands twice in the header (%s)", st->path, error.text);
    return err_set(EINVAL, "%s: the header is not JSON (%s)", st->path, error.text);
}

/* Reads and parses the header; *data_start and *data_bytes say where the tensors lie. */
static int read_header(struct safetensors *st, uint64_t *data_start, uint64_t *data_bytes)
{
    struct stat sb;
    if (fstat(st->fd, &sb) < 0)
        return err_set(errno, "cannot read %s: %s", st->path, strerror(errno));
    if (!S_ISREG(sb.st_mode))
        return err_set(EINVAL, "%s is not a file: a .safetensors file was wanted", st->path);
    uint64_t file_bytes = (uint64_t)sb.st_size, length = 0;
    if (file_bytes < sizeof(length))
        return err_set(EINVAL, "%s is cut short: %" PRIu64 " bytes are no .safetensors file",
                       st->path, file_bytes);
    int ret = read_at(st, 0, &length, sizeof(length));
    if (ret < 0)
        return ret;
    if (length < 2 || length > SAFETENSORS_HEADER_MAX)
        return err_set(EINVAL,
                       "%s says its header is %" PRIu64
                       " bytes (2 to %d were wanted): is it a .safetensors file? A "
                       "PyTorch .pt file is converted by safetensors.torch.save_file",
                       st->path, length, SAFETENSORS_HEADER_MAX);
    if (length > file_bytes - sizeof(length))
        return err_set(EINVAL,
                       "%s is cut short: its header is %" PRIu64 " bytes, the whole file %" PRIu64,
                       st->path, length, file_bytes);
    *data_start = sizeof(length) + length;
    *data_bytes = file_bytes - *data_start;

    char *text = malloc(length);
    if (!text)
        return no_memory(st, length);
    ret = read_at(st, sizeof(length), text, length);
    if (ret == 0)
        ret = parse_header(st, text, length);
    free(text);
    return ret;
}

static int parse_shape(const struct safetensors *st, struct safetensors_tensor *t,
                       const json_t *shape)
{
    if (!json_is_array(shape))
        return err_set(EINVAL, "%s: tensor %s has no shape", st->path, t->name);
    if (json_array_size(shape) > SAFETENSORS_MAX_DIM)
        return err_set(EINVAL, "%s: tensor %s has %zu dimensions, at most %d were expected",
                       st->path, t->name, json_array_size(shape), SAFETENSORS_MAX_DIM);
    t->ndim = (int)json_array_size(shape);
    for (int i = 0; i < t->ndim; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return err_set(EINVAL, "%s: dimension %d of tensor %s is no size", st->path, i,
                           t->name);
        t->dim[i] = json_integer_value(dim);
    }
    return 0;
}

/* What the shape asks for; -1 where it passes 64 bits. */
static int shape_bytes(const struct safetensors_tensor *t, uint64_t element, uint64_t *bytes)
{
    *bytes = element;
    for (int i = 0; i < t->ndim; i++)
        if (t->dim[i] == 0) {
            *bytes = 0;
            return 0;
        }
    for (int i = 0; i < t->ndim; i++)
        if (__builtin_mul_overflow(*bytes, (uint64_t)t->dim[i], bytes))
            return -1;
    return 0;
}

static int parse_tensor(const struct safetensors *st, struct safetensors_tensor *t,
                        const char *name, json_t *entry, uint64_t data_start, uint64_t data_bytes)
{
    t->name = name;
    t->dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!t->dtype)
        return err_set(EINVAL, "%s: tensor %s has no dtype", st->path, name);
    int ret = parse_shape(st, t, json_object_get(entry, "shape"));
    if (ret < 0)
        return ret;
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return err_set(EINVAL, "%s: tensor %s has no data_offsets", st->path, name);
    json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin)
        return err_set(EINVAL, "%s: tensor %s runs from byte %lld to byte %lld", st->path, name,
                       (long long)begin, (long long)end);
    if ((uint64_t)end > data_bytes)
        return err_set(EINVAL,
                       "%s is cut short: tensor %s ends at byte %lld of the data, %" PRIu64
                       " are there",
                       st->path, name, (long long)end, data_bytes);
    t->offset = data_start + (uint64_t)begin;
    t->bytes = (uint64_t)(end - begin);

    uint64_t element = safetensors_dtype_bytes(t->dtype), wanted;
    if (element == 0)
        return 0;
    char text[128];
    safetensors_shape_text(t->ndim, t->dim, text, sizeof(text));
    if (shape_bytes(t, element, &wanted) < 0)
        return err_set(EINVAL, "%s: tensor %s of shape %s is larger than any file", st->path, name,
                       text);
    if (wanted != t->bytes)
        return err_set(EINVAL,
                       "%s: tensor %s of shape %s in %s wants %" PRIu64
                       " bytes, its data_offsets hold %" PRIu64,
                       st->path, name, text, t->dtype, wanted, t->bytes);
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const struct safetensors_tensor *s = a, *t = b;
    if (s->offset != t->offset)
        return s->offset < t->offset ? -1 : 1;
    return s->bytes < t->bytes ? -1 : s->bytes > t->bytes;
}

/* Sorts the tensors as they lie and checks that they fill the data: no hole, no overlap, nothing
 * behind. */
static int check_layout(struct safetensors *st, uint64_t data_start, uint64_t data_bytes)
{
    if (st->ntensor > 0)
        qsort(st->tensor, st->ntensor, sizeof(st->tensor[0]), by_offset);
    uint64_t at = data_start;
    const char *before = "the header";
    for (size_t i = 0; i < st->ntensor; i++) {
        const struct safetensors_tensor *t = &st->tensor[i];
        if (t->offset < at)
            return err_set(EINVAL, "%s: tensors %s and %s overlap by %" PRIu64 " bytes", st->path,
                           before, t->name, at - t->offset);
        if (t->offset > at)
            return err_set(EINVAL, "%s: a hole of %" PRIu64 " bytes between %s and tensor %s",
                           st->path, t->offset - at, before, t->name);
        at += t->bytes;
        before = t->name;
    }
    if (at != data_start + data_bytes)
        return err_set(EINVAL, "%s: %" PRIu64 " bytes follow the last tensor (%s)", st->path,
                       data_start + data_bytes - at, before);
    return 0;
}

int safetensors_open(struct safetensors *st, const char *path)
{
    memset(st, 0, sizeof(*st));
    st->fd = -1;
    st->path = strdup(path);
    if (!st->path)
        return err_set(ENOMEM, "no memory to open %s", path);
    st->fd = open(path, O_RDONLY | O_CLOEXEC |
                            O_NONBLOCK); /* NONBLOCK: a FIFO is refused, not waited for */
    if (st->fd < 0)
        return err_set(errno, "cannot open %s: %s", path, strerror(errno));
    uint64_t data_start = 0, data_bytes = 0;
    int ret = read_header(st, &data_start, &data_bytes);
    if (ret < 0)
        return ret;

    size_t names = json_object_size(st->header);
    st->tensor = calloc(names + 1, sizeof(st->tensor[0]));
    if (!st->tensor)
        return err_set(ENOMEM, "no memory for the %zu names in %s", names, path);
    const char *name;
    json_t *entry;
    json_object_foreach(st->header, name, entry) {
        if (!json_is_object(entry))
            return err_set(EINVAL, "%s: %s is not a JSON object", path, name);
        if (strcmp(name, "__metadata__") == 0)
            continue;
        ret = parse_tensor(st, &st->tensor[st->ntensor], name, entry, data_start, data_bytes);
        if (ret < 0)
            return ret;
        st->ntensor++;
    }
    return check_layout(st, data_start, data_bytes);
}

void safetensors_close(struct safetensors *st)
{
    if (st->fd >= 0)
        close(st->fd);
    json_decref(st->header);
    free(st->tensor);
    free(st->path);
    memset(st, 0, sizeof(*st));
    st->fd = -1;
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *st, const char *name)
{
    for (size_t i = 0; i < st->ntensor; i++)
        if (strcmp(st->tensor[i].name, name) == 0)
            return &st->tensor[i];
    return NULL;
}

const char *safetensors_note(const struct safetensors *st, const char *key)
{
    return json_string_value(json_object_get(json_object_get(st->header, "__metadata__"), key));
}

int safetensors_read(const struct safetensors *st, const struct safetensors_tensor *t,
                     uint64_t from, void *data, size_t bytes)
{
    CHECK(from <= t->bytes && bytes <= t->bytes - from);
    return read_at(st, t->offset + from, data, bytes);
}
