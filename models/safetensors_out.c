/* Writing safetensors files: the header first, then data as it was announced. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "models/file_out.h"
#include "models/safetensors.h"

enum { DATA_ALIGN = 8 };

struct safetensors_out {
    struct file_out file;
    json_t *header;
    uint64_t data_bytes, written;
};

int safetensors_out_new(struct safetensors_out **out)
{
    struct safetensors_out *o = calloc(1, sizeof(*o));
    *out = o;
    if (!o)
        return err_set(ENOMEM, "no memory to write a .safetensors file");
    o->file = FILE_OUT_NONE;
    /* "format": what loaders of other frameworks ask for first. */
    o->header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    return o->header ? 0 : err_set(ENOMEM, "no memory to write a .safetensors file");
}

int safetensors_out_note(struct safetensors_out *out, const char *key, const char *text)
{
    CHECK(out->file.fd < 0);
    if (json_object_set_new(json_object_get(out->header, "__metadata__"), key, json_string(text)) <
        0)
        return err_set(ENOMEM, "no memory for the header's note of %s", key);
    return 0;
}

int safetensors_out_add(struct safetensors_out *out, const char *name, const char *dtype, int ndim,
                        const int64_t *dim, uint64_t bytes)
{
    CHECK(out->file.fd < 0);
    if (json_object_get(out->header, name))
        return err_set(EINVAL, "two tensors are called %s", name);
    json_t *shape = json_array();
    bool ok = shape != NULL;
    for (int i = 0; i < ndim && ok; i++)
        ok = json_array_append_new(shape, json_integer(dim[i])) == 0;
    json_t *entry =
        ok ? json_pack("{s:s, s:O, s:[I, I]}", "dtype", dtype, "shape", shape, "data_offsets",
                       (json_int_t)out->data_bytes, (json_int_t)(out->data_bytes + bytes))
           : NULL;
    json_decref(shape);
    if (!entry || json_object_set_new(out->header, name, entry) < 0)
        return err_set(ENOMEM, "no memory for the header's entry of %s", name);
    out->data_bytes += bytes;
    return 0;
}

/* The header's text, padded with spaces so that the data begins at a multiple of 8. */
static int write_header(struct safetensors_out *out)
{
    /* Not json_dumps: where memory ends while it grows its text, jansson 2.14 leaves words out. */
    size_t used = json_dumpb(out->header, NULL, 0, JSON_COMPACT);
    char *text = used > 0 ? malloc(used) : NULL;
    if (!text || json_dumpb(out->header, text, used, JSON_COMPACT) != used) {
        free(text);
        return err_set(ENOMEM, "no memory for the header of %s", out->file.target);
    }
    uint64_t length = (used + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
    int ret = 0;
    if (length > SAFETENSORS_HEADER_MAX)
        ret = err_set(
            EINVAL, "cannot write %s: its header would be %" PRIu64 " bytes, the format allows %d",
            out->file.target, length, SAFETENSORS_HEADER_MAX);
    else
        ret = file_out_reserve(&out->file, sizeof(length) + length + out->data_bytes);
    if (ret == 0)
        ret = file_out_write(&out->file, &length, sizeof(length));
    if (ret == 0)
        ret = file_out_write(&out->file, text, used);
    if (ret == 0)
        ret = file_out_write(&out->file, "        ", length - used);
    free(text);
    return ret;
}

int safetensors_out_begin(struct safetensors_out *out, const char *path)
{
    int ret = file_out_begin(&out->file, path);
    return ret < 0 ? ret : write_header(out);
}

int safetensors_out_write(struct safetensors_out *out, const void *data, size_t bytes)
{
    if (bytes > out->data_bytes - out->written)
        return err_set(
            EINVAL, "cannot write %s: more than the %" PRIu64 " bytes of data that were announced",
            out->file.target, out->data_bytes);
    int ret = file_out_write(&out->file, data, bytes);
    if (ret == 0)
        out->written += bytes;
    return ret;
}

int safetensors_out_commit(struct safetensors_out *out)
{
    if (out->written != out->data_bytes)
        return err_set(EINVAL, "%s is not written: %" PRIu64 " of %" PRIu64 " bytes of data came",
                       out->file.target, out->written, out->data_bytes);
    return file_out_commit(&out->file);
}

void safetensors_out_free(struct safetensors_out *out)
{
    if (!out)
        return;
    file_out_close(&out->file);
    json_decref(out->header);
    free(out);
}
