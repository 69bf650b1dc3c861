/*
 * Pictures: what JPEG and PNG files decode to and what they are resized to, against Pillow's
 * numbers; files that are damaged, cut short, absurd; what is written is read again.
 */
#include <errno.h>
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "datasets/picture.h"
#include "tests/picture_fixture.h"

static void make(struct picture *p, int w, int h)
{
    assert_int_equal(picture_new(p, w, h), 0);
    for (int i = 0; i < w * h * 3; i++)
        p->rgb[i] = fixture_rgb(i / 3 % w, i / 3 / w, i % 3);
}

/* Each value within `most` of 255ths. */
static void check_rgb(const struct picture *p, int w, int h, const uint8_t *rgb, int most)
{
    assert_int_equal(p->w, w);
    assert_int_equal(p->h, h);
    for (int i = 0; i < w * h * 3; i++)
        if (abs(p->rgb[i] - rgb[i]) > most)
            fail_msg("value %d is %d, wanted %d", i, p->rgb[i], rgb[i]);
}

static void check_decode(const uint8_t *file, size_t bytes, int w, int h, const uint8_t *rgb,
                         int most)
{
    struct picture p;
    if (picture_decode(&p, file, bytes, "it") < 0)
        fail_msg("%s", err_text());
    check_rgb(&p, w, h, rgb, most);
    picture_close(&p);
}

#define DECODE(name, w, h, most) check_decode(name, sizeof(name), w, h, name##_rgb, most)

/* The inverse transform of JPEG may differ by one between libraries. */
static void test_decodes(void **state)
{
    (void)state;
    DECODE(jpeg_7x5, 7, 5, 1);
    DECODE(jpeg_progressive, 7, 5, 1);
    DECODE(jpeg_grey, 3, 2, 1);
    DECODE(jpeg_cmyk, 7, 5, 2);
    DECODE(png_alpha, 2, 2, 0);
    DECODE(png_grey, 2, 1, 0);
    DECODE(png_palette, 7, 5, 0);
}

struct png_file {
    uint8_t bytes[4096];
    size_t n;
};

static void append(png_structp png, png_bytep data, size_t n)
{
    struct png_file *f = png_get_io_ptr(png);
    assert_true(f->n + n <= sizeof(f->bytes));
    memcpy(f->bytes + f->n, data, n);
    f->n += n;
}

static void keep(png_structp png)
{
    (void)png;
}

/* As the other writers of this world do: any kind of pixel, 8 or 16 bits, in one pass or in seven.
 * Channels are those of fixture_rgb, in 16 bits both bytes; the alpha is no picture of them. */
static void encode_png(struct png_file *f, int w, int h, int kind, int depth, int interlace)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    uint8_t pixels[16][16 * 8], *row[16];
    size_t at;
    f->n = 0;
    png_set_write_fn(png, f, append, keep);
    png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, depth, kind, interlace, 0, 0);
    size_t channels = png_get_channels(png, info);
    for (int y = 0; y < h; y++) {
        row[y] = pixels[y];
        at = 0;
        for (int x = 0; x < w; x++)
            for (size_t c = 0; c < channels; c++) {
                bool alpha = (kind & PNG_COLOR_MASK_ALPHA) && c == channels - 1;
                uint8_t v = alpha ? (uint8_t)(x * y) : fixture_rgb(x, y, (int)c);
                for (int byte = 0; byte < depth / 8; byte++)
                    pixels[y][at++] = v;
            }
    }
    png_write_info(png, info);
    png_write_image(png, row);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
}

/* Each kind that PNG has with whole bytes; every file cut short is refused as well. */
static void test_png_kinds(void **state)
{
    (void)state;
    static const int kinds[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                                PNG_COLOR_TYPE_RGBA};
    enum { W = 11, H = 9 };
    for (int i = 0; i < 4 * 4; i++) {
        int kind = kinds[i / 4];
        struct png_file f;
        struct picture p;
        uint8_t want[W * H * 3];
        encode_png(&f, W, H, kind, i & 1 ? 16 : 8, i & 2 ? PNG_INTERLACE_ADAM7 : 0);
        for (int k = 0; k < W * H * 3; k++)
            want[k] = fixture_rgb(k / 3 % W, k / 3 / W, kind & PNG_COLOR_MASK_COLOR ? k % 3 : 0);
        check_decode(f.bytes, f.n, W, H, want, 0);
        for (size_t n = 0; n < f.n; n++)
            assert_true(picture_decode(&p, f.bytes, n, "it") < 0);
    }
}

/* Each byte of a file turned over: a picture or a sentence, whatever it was. */
static void turn_bytes(const uint8_t *file, size_t bytes)
{
    uint8_t *odd = malloc(bytes);
    struct picture p;
    int refused = 0;
    memcpy(odd, file, bytes);
    for (size_t i = 0; i < bytes; i++) {
        odd[i] ^= 0xff;
        err_set(EIO, "no sentence");
        if (picture_decode(&p, odd, bytes, "it") < 0) {
            assert_null(p.rgb);
            assert_non_null(strstr(err_text(), "it is "));
            refused++;
        }
        picture_close(&p);
        odd[i] ^= 0xff;
    }
    assert_true(refused > 20);
    free(odd);
}

static void test_turned_bytes(void **state)
{
    (void)state;
    turn_bytes(jpeg_7x5, sizeof(jpeg_7x5));
    turn_bytes(jpeg_progressive, sizeof(jpeg_progressive));
    turn_bytes(jpeg_cmyk, sizeof(jpeg_cmyk));
    turn_bytes(png_alpha, sizeof(png_alpha));
    turn_bytes(png_palette, sizeof(png_palette));
}

static void check_stretch(int w, int h, int to_w, int to_h, const uint8_t *want)
{
    struct picture p;
    float *planes = malloc((size_t)(to_w * to_h) * 3 * sizeof(*planes));
    make(&p, w, h);
    assert_int_equal(picture_stretch(&p, planes, to_w, to_h), 0);
    for (int i = 0; i < to_w * to_h * 3; i++) {
        float got = planes[i % 3 * to_w * to_h + i / 3], wanted = (float)want[i] / 255;
        if (!(fabsf(got - wanted) < 1e-6f))
            fail_msg("%d x %d to %d x %d: value %d is %g, wanted %g", w, h, to_w, to_h, i,
                     (double)got * 255, (double)wanted * 255);
    }
    free(planes);
    picture_close(&p);
}

static void test_stretches_as_pillow(void **state)
{
    (void)state;
    check_stretch(7, 5, 4, 3, stretched_7x5_to_4x3);
    check_stretch(5, 4, 9, 7, stretched_5x4_to_9x7);
    check_stretch(23, 3, 2, 2, stretched_23x3_to_2x2);
}

static void test_one_pixel(void **state)
{
    (void)state;
    struct picture p;
    float planes[3 * 6 * 6];
    make(&p, 1, 1);
    assert_int_equal(picture_stretch(&p, planes, 6, 6), 0);
    for (int i = 0; i < 3 * 36; i++)
        assert_true(planes[i] == (float)fixture_rgb(0, 0, i / 36) / 255);
    assert_int_equal(picture_letterbox(&p, planes, 6, 6), 0);
    for (int i = 0; i < 3 * 36; i++)
        assert_true(planes[i] == (float)fixture_rgb(0, 0, i / 36) / 255);
    picture_close(&p);
}

/* 4 x 2 in 7 x 7: 7 x 3, two rows above, two below; darknet's bilinear keeps the corners. */
static void test_letterbox(void **state)
{
    (void)state;
    struct picture p;
    float planes[3 * 49];
    int w, h;
    make(&p, 4, 2);
    picture_letterbox_size(&p, 7, 7, &w, &h);
    assert_int_equal(w, 7);
    assert_int_equal(h, 3);
    assert_int_equal(picture_letterbox(&p, planes, 7, 7), 0);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < 7; y++)
            for (int x = 0; x < 7; x++) {
                float want = 0.5f;
                if (y >= 2 && y < 5) {
                    float sum = 0; /* output x lies at x / 2, y - 2 at (y - 2) / 2 of the picture */
                    for (int k = 0; k < 4; k++)
                        sum += fixture_rgb((x + (k & 1)) / 2, (y - 2 + k / 2) / 2, c);
                    want = sum / 4 / 255;
                }
                if (!(fabsf(planes[c * 49 + y * 7 + x] - want) < 1e-6f))
                    fail_msg("(%d, %d, %d): %g, wanted %g", c, y, x,
                             (double)planes[c * 49 + y * 7 + x], (double)want);
            }
    picture_close(&p);
    make(&p, 1, 300);
    picture_letterbox_size(&p, 64, 64, &w, &h);
    assert_int_equal(w, 1);
    assert_int_equal(h, 64);
    picture_close(&p);
}

static void refuse(const void *file, size_t bytes, int error, const char *sentence)
{
    struct picture p;
    int ret = picture_decode(&p, file, bytes, "it");
    if (ret != -error || !strstr(err_text(), sentence))
        fail_msg("returned %d, wanted %d and \"%s\": %s", ret, -error, sentence, err_text());
    assert_null(p.rgb);
}

/* Every file cut short: a sentence, no half picture. (JPEG's end mark alone may be missing.) */
static void test_cut_short(void **state)
{
    (void)state;
    struct picture p;
    for (size_t n = 0; n + 16 < sizeof(jpeg_7x5); n++)
        assert_true(picture_decode(&p, jpeg_7x5, n, "it") < 0);
    for (size_t n = 0; n + 16 < sizeof(jpeg_progressive); n++)
        assert_true(picture_decode(&p, jpeg_progressive, n, "it") < 0);
    for (size_t n = 0; n < sizeof(png_alpha); n++)
        assert_true(picture_decode(&p, png_alpha, n, "it") < 0);
    refuse("", 0, EINVAL, "neither a JPEG nor a PNG");
    refuse("GIF89a", 6, EINVAL, "neither a JPEG nor a PNG");
    refuse(jpeg_7x5, 200, EINVAL, "it is a damaged JPEG picture");
    refuse(png_alpha, 40, EINVAL, "it is a damaged PNG picture");
}

/* Sizes that a head of a few bytes claims. */
static void test_absurd_sizes(void **state)
{
    (void)state;
    uint8_t jpeg[sizeof(jpeg_7x5)], png[sizeof(png_alpha)];
    memcpy(jpeg, jpeg_7x5, sizeof(jpeg));
    uint8_t *sof = memmem(jpeg, sizeof(jpeg), "\xff\xc0", 2);
    assert_non_null(sof);
    memcpy(sof + 5, "\x4e\x20\x4e\x20", 4); /* 20000 x 20000 */
    refuse(jpeg, sizeof(jpeg), EFBIG, "20000 x 20000 pixels");
    memcpy(png, png_alpha, sizeof(png));
    memcpy(png + 16, "\x00\x00\x4e\x20\x00\x00\x4e\x20", 8);
    unsigned long crc = crc32(0, png + 12, 17);
    for (int i = 0; i < 4; i++)
        png[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
    refuse(png, sizeof(png), EFBIG, "20000 x 20000 pixels");
}

static void test_files(void **state)
{
    (void)state;
    struct picture p, q;
    char path[] = "/tmp/sparse-picture-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    make(&p, 33, 17);
    assert_int_equal(picture_write(&p, path), 0);
    assert_int_equal(picture_read(&q, path), 0);
    check_rgb(&q, 33, 17, p.rgb, 0);
    picture_close(&q);
    unlink(path);
    assert_int_equal(picture_read(&q, path), -ENOENT);
    assert_non_null(strstr(err_text(), path));
    assert_int_equal(picture_read(&q, "/tmp"), -EINVAL);
    assert_int_equal(picture_write(&p, "/nowhere/at/all.png"), -ENOENT);
    assert_non_null(strstr(err_text(), "/nowhere/at/all.png"));
    picture_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decodes),      cmocka_unit_test(test_stretches_as_pillow),
        cmocka_unit_test(test_one_pixel),    cmocka_unit_test(test_letterbox),
        cmocka_unit_test(test_cut_short),    cmocka_unit_test(test_absurd_sizes),
        cmocka_unit_test(test_files),        cmocka_unit_test(test_png_kinds),
        cmocka_unit_test(test_turned_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
