/* Files that replace others by rename. */
#include "models/file_out.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

enum { TEMPORARY_TRIES = 1000 };

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

int file_out_possible(const char *path)
{
    char *target = follow_links(path);
    if (!target)
        return err_set(ENOMEM, "no memory to write %s", path);
    int ret = target_possible(path, target);
    free(target);
    return ret;
}

/* The temporary file: in the target's folder, so that rename stays on one file system; a short name
 * of its own, so that it fits wherever the target's does. */
static int open_temporary(struct file_out *f)
{
    char name[64];
    size_t folder = folder_length(f->target);
    char *path = malloc(folder + sizeof(name));
    if (!path)
        return err_set(ENOMEM, "no memory to write %s", f->target);
    memcpy(path, f->target, folder);
    for (int i = 0; i < TEMPORARY_TRIES; i++) {
        snprintf(name, sizeof(name), ".sparse-engine-%ld-%d.tmp", (long)getpid(), i);
        memcpy(path + folder, name, sizeof(name));
        f->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (f->fd >= 0 || errno != EEXIST)
            break;
    }
    if (f->fd < 0) {
        int ret =
            err_set(errno, "cannot write %s: cannot make %s: %s", f->target, path, strerror(errno));
        free(path);
        return ret;
    }
    f->temporary = path;
    return 0;
}

int file_out_begin(struct file_out *f, const char *path)
{
    CHECK(f->fd < 0 && !f->target);
    f->target = follow_links(path);
    f->folder = f->target ? folder_of(f->target) : NULL;
    if (!f->folder)
        return err_set(ENOMEM, "no memory to write %s", path);
    int ret = target_possible(path, f->target);
    return ret < 0 ? ret : open_temporary(f);
}

int file_out_reserve(const struct file_out *f, uint64_t bytes)
{
    if (fallocate(f->fd, 0, 0, (off_t)bytes) < 0 &&
        (errno == ENOSPC || errno == EFBIG || errno == EDQUOT))
        return err_set(errno, "cannot write %s (%" PRIu64 " bytes): %s", f->target, bytes,
                       strerror(errno));
    return 0;
}

int file_out_write(const struct file_out *f, const void *data, size_t bytes)
{
    const char *from = data;
    while (bytes > 0) {
        ssize_t n = write(f->fd, from, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(errno, "cannot write %s: %s", f->target, strerror(errno));
        from += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* Makes the rename itself last through a power cut. */
static int sync_folder(const struct file_out *f)
{
    int fd = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;
    /* A folder that may be written but not read cannot be opened, and some file systems cannot sync
     * one. */
    if (fd < 0)
        return 0;
    if (fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP)
        ret = err_set(errno, "%s is written, but its folder could not be synced: %s", f->target,
                      strerror(errno));
    close(fd);
    return ret;
}

int file_out_commit(struct file_out *f)
{
    if (fsync(f->fd) < 0)
        return err_set(errno, "cannot write %s: %s", f->target, strerror(errno));
    int fd = f->fd;
    f->fd = -1;
    if (close(fd) < 0)
        return err_set(errno, "cannot write %s: %s", f->target, strerror(errno));
    if (rename(f->temporary, f->target) < 0)
        return err_set(errno, "cannot write %s: rename: %s", f->target, strerror(errno));
    free(f->temporary);
    f->temporary = NULL;
    return sync_folder(f);
}

void file_out_close(struct file_out *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->temporary)
        unlink(f->temporary);
    free(f->temporary);
    free(f->folder);
    free(f->target);
    *f = FILE_OUT_NONE;
}
