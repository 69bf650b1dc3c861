/*
 * Writing safetensors files. The file grows under a name of its own in the target's folder and
 * takes the target's place by rename when every byte is on the disk: a reader sees the old file or
 * the new one, whatever fails.
 */
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
#include "models/safetensors.h"

enum { TEMPORARY_TRIES = 1000, DATA_ALIGN = 8 };

struct safetensors_out {
    int fd;
    char *target;    /* where the file goes: path with its symbolic links followed */
    char *folder;    /* of the target */
    char *temporary; /* NULL: there is none to remove */
    json_t *header;
    uint64_t data_bytes, written;
};

/* The target behind symbolic links, so that a link is written through and not replaced; path where
 * nothing is. */
static char *follow_links(const char *path)
{
    char *real = realpath(path, NULL);
    return real || errno == ENOMEM ? real : strdup(path);
}

/* The folder of path, with its slash: "" for the current one. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static char *folder_of(const char *path)
{
    size_t length = folder_length(path);
    return length ? strndup(path, length) : strdup("./");
}

static int target_possible(const char *path, const char *target)
{
    struct stat sb;
    size_t length = strlen(target);
    if (length == 0 || target[length - 1] == '/')
        return err_set(EISDIR, "cannot write \"%s\": a file's name was wanted", path);
    if (stat(target, &sb) == 0) {
        if (S_ISDIR(sb.st_mode))
            return err_set(EISDIR, "cannot write %s: it is a folder, a file's name was wanted",
                           path);
        if (!S_ISREG(sb.st_mode))
            return err_set(
                EINVAL, "cannot write %s: it is not a regular file, and would be replaced by one",
                path);
        if (access(target, W_OK) < 0)
            return err_set(errno, "cannot write %s: %s", path, strerror(errno));
    } else if (errno != ENOENT) {
        return err_set(errno, "cannot write %s: %s", path, strerror(errno));
    }
    char *folder = folder_of(target);
    if (!folder)
        return err_set(ENOMEM, "no memory to write %s", path);
    int ret = 0;
    if (stat(folder, &sb) < 0)
        ret = err_set(errno, "cannot write %s: folder %s: %s", path, folder, strerror(errno));
    else if (access(folder, W_OK | X_OK) < 0)
        ret = err_set(errno, "cannot write %s: folder %s is not writable: %s", path, folder,
                      strerror(errno));
    free(folder);
    return ret;
}

int safetensors_out_possible(const char *path)
{
    char *target = follow_links(path);
    if (!target)
        return err_set(ENOMEM, "no memory to write %s", path);
    int ret = target_possible(path, target);
    free(target);
    return ret;
}

int safetensors_out_new(struct safetensors_out **out)
{
    struct safetensors_out *o = calloc(1, sizeof(*o));
    *out = o;
    if (!o)
        return err_set(ENOMEM, "no memory to write a .safetensors file");
    o->fd = -1;
    /* "format": what loaders of other frameworks ask for first. */
    o->header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    return o->header ? 0 : err_set(ENOMEM, "no memory to write a .safetensors file");
}

int safetensors_out_add(struct safetensors_out *out, const char *name, const char *dtype, int ndim,
                        const int64_t *dim, uint64_t bytes)
{
    CHECK(out->fd < 0);
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

static int write_all(const struct safetensors_out *out, const void *data, size_t bytes)
{
    const char *from = data;
    while (bytes > 0) {
        ssize_t n = write(out->fd, from, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(errno, "cannot write %s: %s", out->target, strerror(errno));
        from += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* The temporary file: in the target's folder, so that rename stays on one file system; a short name
 * of its own, so that it fits wherever the target's does. */
static int open_temporary(struct safetensors_out *out)
{
    char name[64];
    size_t folder = folder_length(out->target);
    char *path = malloc(folder + sizeof(name));
    if (!path)
        return err_set(ENOMEM, "no memory to write %s", out->target);
    memcpy(path, out->target, folder);
    for (int i = 0; i < TEMPORARY_TRIES; i++) {
        snprintf(name, sizeof(name), ".sparse-engine-%ld-%d.tmp", (long)getpid(), i);
        memcpy(path + folder, name, sizeof(name));
        out->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (out->fd >= 0 || errno != EEXIST)
            break;
    }
    if (out->fd < 0) {
        int ret = err_set(errno, "cannot write %s: cannot make %s: %s", out->target, path,
                          strerror(errno));
        free(path);
        return ret;
    }
    out->temporary = path;
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
        return err_set(ENOMEM, "no memory for the header of %s", out->target);
    }
    uint64_t length = (used + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
    int ret = 0;
    if (length > SAFETENSORS_HEADER_MAX)
        ret = err_set(
            EINVAL, "cannot write %s: its header would be %" PRIu64 " bytes, the format allows %d",
            out->target, length, SAFETENSORS_HEADER_MAX);
    /* A full disk is better met now than after the last block. Not every file system can
     * reserve. */
    else if (fallocate(out->fd, 0, 0, (off_t)(sizeof(length) + length + out->data_bytes)) < 0 &&
             (errno == ENOSPC || errno == EFBIG || errno == EDQUOT))
        ret = err_set(errno, "cannot write %s (%" PRIu64 " bytes): %s", out->target,
                      sizeof(length) + length + out->data_bytes, strerror(errno));
    if (ret == 0)
        ret = write_all(out, &length, sizeof(length));
    if (ret == 0)
        ret = write_all(out, text, used);
    if (ret == 0)
        ret = write_all(out, "        ", length - used);
    free(text);
    return ret;
}

int safetensors_out_begin(struct safetensors_out *out, const char *path)
{
    CHECK(out->fd < 0 && !out->target);
    out->target = follow_links(path);
    out->folder = out->target ? folder_of(out->target) : NULL;
    if (!out->folder)
        return err_set(ENOMEM, "no memory to write %s", path);
    int ret = target_possible(path, out->target);
    if (ret == 0)
        ret = open_temporary(out);
    return ret < 0 ? ret : write_header(out);
}

int safetensors_out_write(struct safetensors_out *out, const void *data, size_t bytes)
{
    if (bytes > out->data_bytes - out->written)
        return err_set(
            EINVAL, "cannot write %s: more than the %" PRIu64 " bytes of data that were announced",
            out->target, out->data_bytes);
    int ret = write_all(out, data, bytes);
    if (ret == 0)
        out->written += bytes;
    return ret;
}

/* Makes the rename itself last through a power cut. */
static int sync_folder(const struct safetensors_out *out)
{
    int fd = open(out->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;
    /* A folder that may be written but not read cannot be opened, and some file systems cannot sync
     * one. */
    if (fd < 0)
        return 0;
    if (fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP)
        ret = err_set(errno, "%s is written, but its folder could not be synced: %s", out->target,
                      strerror(errno));
    close(fd);
    return ret;
}

int safetensors_out_commit(struct safetensors_out *out)
{
    if (out->written != out->data_bytes)
        return err_set(EINVAL, "%s is not written: %" PRIu64 " of %" PRIu64 " bytes of data came",
                       out->target, out->written, out->data_bytes);
    if (fsync(out->fd) < 0)
        return err_set(errno, "cannot write %s: %s", out->target, strerror(errno));
    int fd = out->fd;
    out->fd = -1;
    if (close(fd) < 0)
        return err_set(errno, "cannot write %s: %s", out->target, strerror(errno));
    if (rename(out->temporary, out->target) < 0)
        return err_set(errno, "cannot write %s: rename: %s", out->target, strerror(errno));
    free(out->temporary);
    out->temporary = NULL;
    return sync_folder(out);
}

void safetensors_out_free(struct safetensors_out *out)
{
    if (!out)
        return;
    if (out->fd >= 0)
        close(out->fd);
    if (out->temporary)
        unlink(out->temporary);
    free(out->temporary);
    free(out->folder);
    free(out->target);
    json_decref(out->header);
    free(out);
}
