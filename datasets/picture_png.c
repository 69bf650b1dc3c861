/* PNG to RGB, by libpng's ordinary interface, whose errors come back by longjmp; and back by its
 * simplified one, which reads interlaced files of 16 bits wrongly. */
#include <png.h>

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "datasets/picture_kinds.h"

struct decoder {
    png_structp png;
    png_infop info;
    const uint8_t *at; /* what is left of the file */
    size_t left;
    jmp_buf failed;
    const char *name;
};

static void fail(png_structp png, png_const_charp text)
{
    struct decoder *d = png_get_error_ptr(png);
    err_set(EINVAL, "%s is a damaged PNG picture: %s", d->name, text);
    longjmp(d->failed, 1);
}

static void say_nothing(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void take(png_structp png, png_bytep to, size_t bytes)
{
    struct decoder *d = png_get_io_ptr(png);
    if (bytes > d->left)
        png_error(png, "it ends too early");
    memcpy(to, d->at, bytes);
    d->at += bytes;
    d->left -= bytes;
}

/* Three bytes a pixel, colours as they are stored: no gamma, and alpha is dropped, not blended with
 * a background. */
static void want_rgb(struct decoder *d)
{
    png_set_scale_16(d->png);
    png_set_expand_gray_1_2_4_to_8(d->png);
    png_set_palette_to_rgb(d->png);
    png_set_gray_to_rgb(d->png);
    png_set_strip_alpha(d->png);
}

static int decode(struct decoder *d, struct picture *p)
{
    if (setjmp(d->failed))
        return -EINVAL;
    png_set_read_fn(d->png, d, take);
    png_read_info(d->png, d->info);
    png_uint_32 w = png_get_image_width(d->png, d->info), h = png_get_image_height(d->png, d->info);
    int ret = picture_check_size(d->name, w, h);
    if (ret == 0)
        ret = picture_new(p, (int)w, (int)h);
    if (ret < 0)
        return ret;
    want_rgb(d);
    int passes = png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    CHECK(png_get_rowbytes(d->png, d->info) == (size_t)p->w * 3);
    for (int i = 0; i < passes; i++)
        for (size_t y = 0; y < (size_t)p->h; y++)
            png_read_row(d->png, p->rgb + y * (size_t)p->w * 3, NULL);
    png_read_end(d->png, NULL);
    return 0;
}

int picture_decode_png(struct picture *p, const void *file, size_t bytes, const char *name)
{
    struct decoder d = {.at = file, .left = bytes, .name = name};
    d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, fail, say_nothing);
    d.info = d.png ? png_create_info_struct(d.png) : NULL;
    int ret = d.info ? decode(&d, p) : err_set(ENOMEM, "no memory for %s", name);
    png_destroy_read_struct(&d.png, &d.info, NULL);
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
