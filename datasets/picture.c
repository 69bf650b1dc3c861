/* Reading a picture's file, whatever kind it is. */
#include "datasets/picture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "datasets/picture_kinds.h"

int picture_new(struct picture *p, int w, int h)
{
    p->w = w;
    p->h = h;
    p->rgb = calloc((size_t)w * (size_t)h, 3);
    return p->rgb ? 0 : err_set(ENOMEM, "no memory for a picture of %d x %d pixels", w, h);
}

void picture_close(struct picture *p)
{
    free(p->rgb);
    *p = (struct picture){0};
}

int picture_check_size(const char *name, size_t w, size_t h)
{
    if (w == 0 || h == 0)
        return err_set(EINVAL, "%s is a picture of %zu x %zu pixels: it shows nothing", name, w, h);
    if (w > PICTURE_MAX_SIDE || h > PICTURE_MAX_SIDE || w * h > PICTURE_MAX_PIXELS)
        return err_set(EFBIG,
                       "%s is a picture of %zu x %zu pixels, at most %d on a side and %zu in all "
                       "are read: make it smaller first",
                       name, w, h, PICTURE_MAX_SIDE, PICTURE_MAX_PIXELS);
    return 0;
}

int picture_decode(struct picture *p, const void *file, size_t bytes, const char *name)
{
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t jpeg[3] = {0xff, 0xd8, 0xff};
    int ret;
    *p = (struct picture){0};
    if (bytes >= sizeof(png) && !memcmp(file, png, sizeof(png)))
        ret = picture_decode_png(p, file, bytes, name);
    else if (bytes >= sizeof(jpeg) && !memcmp(file, jpeg, sizeof(jpeg)))
        ret = picture_decode_jpeg(p, file, bytes, name);
    else
        ret = err_set(EINVAL, "%s is neither a JPEG nor a PNG picture", name);
    if (ret < 0)
        picture_close(p);
    return ret;
}

static int read_all(int fd, uint8_t *to, size_t bytes, const char *path)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = read(fd, to + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(n < 0 ? errno : EIO, "cannot read %s: %s", path,
                           n < 0 ? strerror(errno) : "it became shorter");
        done += (size_t)n;
    }
    return 0;
}

static int read_open(struct picture *p, int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(errno, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(EINVAL, "%s is no file", path);
    if (st.st_size > PICTURE_MAX_FILE)
        return err_set(EFBIG, "%s has %lld bytes, pictures of at most %d are read", path,
                       (long long)st.st_size, PICTURE_MAX_FILE);
    size_t bytes = (size_t)st.st_size;
    uint8_t *file = malloc(bytes ? bytes : 1);
    if (!file)
        return err_set(ENOMEM, "no memory for %s", path);
    int ret = read_all(fd, file, bytes, path);
    if (ret == 0)
        ret = picture_decode(p, file, bytes, path);
    free(file);
    return ret;
}

int picture_read(struct picture *p, const char *path)
{
    *p = (struct picture){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(errno, "cannot open picture %s: %s", path, strerror(errno));
    int ret = read_open(p, fd, path);
    close(fd);
    return ret;
}
