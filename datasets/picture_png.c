/* PNG to RGB and back, by libpng's simplified interface. */
#include <png.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "datasets/picture_kinds.h"

static int damaged(const char *name, const png_image *png)
{
    return err_set(EINVAL, "%s is a damaged PNG picture: %s", name, png->message);
}

/* Colours as they are stored: alpha is dropped, not blended with a background. */
static int read_rgb(struct picture *p, png_image *png, const char *name)
{
    size_t pixels = (size_t)p->w * (size_t)p->h;
    png->flags |= PNG_IMAGE_FLAG_FAST | PNG_IMAGE_FLAG_16BIT_sRGB;
    if (!(png->format & PNG_FORMAT_FLAG_ALPHA)) {
        png->format = PNG_FORMAT_RGB;
        return png_image_finish_read(png, NULL, p->rgb, 0, NULL) ? 0 : damaged(name, png);
    }
    uint8_t *rgba = malloc(pixels * 4);
    if (!rgba)
        return err_set(ENOMEM, "no memory for %s, %d x %d pixels", name, p->w, p->h);
    png->format = PNG_FORMAT_RGBA;
    int ok = png_image_finish_read(png, NULL, rgba, 0, NULL);
    for (size_t i = 0; ok && i < pixels; i++)
        memcpy(p->rgb + 3 * i, rgba + 4 * i, 3);
    free(rgba);
    return ok ? 0 : damaged(name, png);
}

int picture_decode_png(struct picture *p, const void *file, size_t bytes, const char *name)
{
    png_image png = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&png, file, bytes))
        return damaged(name, &png);
    int ret = picture_check_size(name, png.width, png.height);
    if (ret == 0)
        ret = picture_new(p, (int)png.width, (int)png.height);
    if (ret == 0)
        ret = read_rgb(p, &png, name);
    png_image_free(&png);
    return ret;
}

int picture_write(const struct picture *p, const char *path)
{
    char part[4096];
    if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part))
        return err_set(ENAMETOOLONG, "cannot write %s: its name is too long", path);
    png_image png = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)p->w,
                     .height = (png_uint_32)p->h,
                     .format = PNG_FORMAT_RGB};
    errno = 0;
    if (!png_image_write_to_file(&png, part, 0, p->rgb, 0, NULL)) {
        int why = errno ? errno : EIO;
        unlink(part);
        return err_set(why, "cannot write %s: %s", path, png.message);
    }
    if (rename(part, path) < 0) {
        int why = errno;
        unlink(part);
        return err_set(why, "cannot write %s: %s", path, strerror(why));
    }
    return 0;
}
