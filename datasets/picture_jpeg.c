/* JPEG to RGB by libjpeg-turbo. Its errors come back by longjmp; a file that ends too early, or a
 * part of it that cannot be decoded, is an error as well, not a grey area. */
#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>

#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>

#include "base/err.h"
#include "datasets/picture_kinds.h"

enum { MAX_SCANS = 200 }; /* a progressive file of a few bytes a scan could keep us for hours */

struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    const char *name;
    int ret;
    uint8_t *cmyk; /* a row; NULL where the picture is none */
};

static void fail(j_common_ptr jpeg)
{
    struct decoder *d = (struct decoder *)jpeg->client_data;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    d->ret = jpeg->err->msg_code == JERR_OUT_OF_MEMORY ? ENOMEM : EINVAL;
    err_set(d->ret, "%s is a damaged JPEG picture: %s", d->name, text);
    longjmp(d->failed, 1);
}

static void warn(j_common_ptr jpeg, int level)
{
    int code = jpeg->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER))
        fail(jpeg);
}

static void say_nothing(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void watch_scans(j_common_ptr jpeg)
{
    struct decoder *d = (struct decoder *)jpeg->client_data;
    if (d->jpeg.input_scan_number <= MAX_SCANS)
        return;
    d->ret = EFBIG;
    err_set(EFBIG, "%s is a JPEG picture of more than %d scans", d->name, MAX_SCANS);
    longjmp(d->failed, 1);
}

/* Inks of one row, inverted as Adobe writes them, to RGB. */
static void from_cmyk(uint8_t *rgb, const uint8_t *cmyk, int w, bool inverted)
{
    for (int x = 0; x < w; x++)
        for (int c = 0; c < 3; c++) {
            int ink = cmyk[4 * x + c], key = cmyk[4 * x + 3];
            if (!inverted) {
                ink = 255 - ink;
                key = 255 - key;
            }
            rgb[3 * x + c] = (uint8_t)((ink * key + 127) / 255);
        }
}

static int decode(struct decoder *d, struct picture *p, const void *file, size_t bytes)
{
    struct jpeg_decompress_struct *j = &d->jpeg;
    if (setjmp(d->failed))
        return -d->ret;
    jpeg_create_decompress(j);
    j->progress = &d->progress;
    jpeg_mem_src(j, file, (unsigned long)bytes);
    jpeg_read_header(j, TRUE);
    int ret = picture_check_size(d->name, j->image_width, j->image_height);
    if (ret < 0)
        return ret;
    bool cmyk = j->jpeg_color_space == JCS_CMYK || j->jpeg_color_space == JCS_YCCK;
    j->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(j);
    ret = picture_new(p, (int)j->output_width, (int)j->output_height);
    if (ret < 0)
        return ret;
    if (cmyk)
        d->cmyk = j->mem->alloc_small((j_common_ptr)j, JPOOL_IMAGE, 4 * (size_t)p->w);
    while (j->output_scanline < j->output_height) {
        uint8_t *row = p->rgb + (size_t)j->output_scanline * (size_t)p->w * 3;
        jpeg_read_scanlines(j, cmyk ? &d->cmyk : &row, 1);
        if (cmyk)
            from_cmyk(row, d->cmyk, p->w, j->saw_Adobe_marker);
    }
    jpeg_finish_decompress(j);
    return 0;
}

int picture_decode_jpeg(struct picture *p, const void *file, size_t bytes, const char *name)
{
    struct decoder d = {.name = name, .progress.progress_monitor = watch_scans};
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.jpeg.client_data = &d;
    d.errors.error_exit = fail;
    d.errors.emit_message = warn;
    d.errors.output_message = say_nothing;
    int ret = decode(&d, p, file, bytes);
    jpeg_destroy_decompress(&d.jpeg);
    return ret;
}
