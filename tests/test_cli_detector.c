/*
 * infer of a detector as a user meets it when what it is given is off: pictures, weights and .cfg
 * files that are damaged, cut short or absurd, and words that do not fit. Each ends with its status
 * and one sentence; odd pictures that are whole are detected on.
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "datasets/picture.h"
#include "tests/cli.h"
#include "tests/picture_fixture.h"

static struct cli r;

#define INFER "infer --model d.cfg --inferences 1 --no-monitor "

static void write_text(const char *path, const char *text)
{
    cli_write(path, text, strlen(text));
}

static int enter(void **state)
{
    int ret = cli_enter(state);
    if (ret == 0) {
        write_text("d.cfg", "[net]\nwidth=32\nheight=32\n"
                            "[conv]\nbatch_normalize=1\nfilters=4\nsize=3\nstride=4\npad=1\n"
                            "activation=leaky\n"
                            "[conv]\nfilters=7\nactivation=linear\n"
                            "[yolo]\nanchors=9,9\nclasses=2\n");
        cli_write("good.png", png_palette, sizeof(png_palette));
    }
    return ret;
}

/* Fails with status 1 and one line on stderr, which says this. */
static void refused(const char *words, const char *sentence)
{
    cli_expect(&r, words, 1, sentence);
    const char *end = strchr(r.err, '\n');
    if (!end || end[1])
        fail_msg("%s: one line was wanted on stderr: %s", words, r.err);
}

static void refuse_picture(const char *name, const void *file, size_t bytes, const char *sentence)
{
    char words[256];
    cli_write(name, file, bytes);
    snprintf(words, sizeof(words), INFER "--images %s", name);
    refused(words, sentence);
    assert_non_null(strstr(r.err, name));
    unlink(name);
}

static void test_damaged_pictures(void **state)
{
    (void)state;
    uint8_t odd[sizeof(jpeg_progressive)];
    refuse_picture("cut.jpg", jpeg_7x5, 200, "damaged JPEG");
    refuse_picture("cut.png", png_alpha, 50, "damaged PNG");
    refuse_picture("empty.png", "", 0, "neither a JPEG nor a PNG");
    refuse_picture("text.jpg", "not a picture\n", 14, "neither a JPEG nor a PNG");
    memcpy(odd, png_alpha, sizeof(png_alpha));
    odd[45] ^= 0xff; /* in the pixels: their sum is wrong then */
    refuse_picture("sum.png", odd, sizeof(png_alpha), "damaged PNG");
    memcpy(odd, jpeg_7x5, sizeof(jpeg_7x5));
    memset(odd + 20, 0xff, 120);
    refuse_picture("tables.jpg", odd, sizeof(jpeg_7x5), "damaged JPEG");
    memcpy(odd, jpeg_7x5, sizeof(jpeg_7x5));
    memcpy((uint8_t *)memmem(odd, sizeof(jpeg_7x5), "\xff\xc0", 2) + 5, "\x4e\x20\x4e\x20", 4);
    refuse_picture("large.jpg", odd, sizeof(jpeg_7x5), "20000 x 20000 pixels");
    memcpy((uint8_t *)memmem(odd, sizeof(jpeg_7x5), "\xff\xc0", 2) + 5, "\0\0\0\0", 4);
    refuse_picture("nothing.jpg", odd, sizeof(jpeg_7x5), "nothing.jpg");
}

/* A folder with a damaged picture behind a good one: the good one's answer is given first. */
static void test_one_of_many(void **state)
{
    (void)state;
    cli_make_folders("many");
    cli_write("many/a.png", png_palette, sizeof(png_palette));
    cli_write("many/b.png", png_palette, 60);
    refused("infer --model d.cfg --no-monitor --json --quiet --inferences 0 --images many",
            "many/b.png");
    assert_non_null(strstr(r.out, "{\"request\":1,\"image\":\"many/a.png\""));
    assert_null(strstr(r.out, "\"request\":2"));
    cli_remove("many");
}

static void test_odd_pictures(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const uint8_t *file;
        size_t bytes;
    } odd[] = {{"cmyk.jpg", jpeg_cmyk, sizeof(jpeg_cmyk)},
               {"grey.jpg", jpeg_grey, sizeof(jpeg_grey)},
               {"progressive.jpg", jpeg_progressive, sizeof(jpeg_progressive)},
               {"alpha.png", png_alpha, sizeof(png_alpha)},
               {"grey.png", png_grey, sizeof(png_grey)}};
    struct picture p;
    char words[256];
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        cli_write(odd[i].name, odd[i].file, odd[i].bytes);
        for (int letterbox = 0; letterbox < 2; letterbox++) {
            snprintf(words, sizeof(words), INFER "--images %s --conf 0.1%s", odd[i].name,
                     letterbox ? " --letterbox" : "");
            cli_expect(&r, words, 0, "");
        }
    }
    const int size[][2] = {{1, 1}, {1, 3000}, {3000, 1}, {4000, 3000}};
    for (size_t i = 0; i < sizeof(size) / sizeof(*size); i++) {
        assert_int_equal(picture_new(&p, size[i][0], size[i][1]), 0);
        assert_int_equal(picture_write(&p, "size.png"), 0);
        cli_expect(&r, INFER "--images size.png --conf 0.1 --json --save-detections .", 0, "");
        snprintf(words, sizeof(words), "\"width\":%d,\"height\":%d,", p.w, p.h);
        assert_non_null(strstr(r.out, words));
        picture_close(&p);
        assert_int_equal(picture_read(&p, "size_detected.png"), 0);
        assert_int_equal(p.w, size[i][0]);
        picture_close(&p);
    }
}

static void test_weights(void **state)
{
    (void)state;
    cli_expect(&r, "init --model d.cfg --save good.weights", 0, "");
    size_t bytes;
    char *file = cli_file("good.weights", &bytes), *longer = calloc(1, bytes + 4);
    memcpy(longer, file, bytes);
    cli_expect(&r, INFER "--images good.png --weights good.weights", 0, "");
    cli_write("short.weights", file, bytes - 4);
    refused(INFER "--images good.png --weights short.weights", "fewer");
    cli_write("long.weights", longer, bytes + 4);
    refused(INFER "--images good.png --weights long.weights", "more");
    cli_write("head.weights", file, 7);
    refused(INFER "--images good.png --weights head.weights", "cut short");
    refused(INFER "--images good.png --weights none.weights", "none.weights");
    cli_write("named.weights", png_palette, sizeof(png_palette));
    refused(INFER "--images good.png --weights named.weights", "named.weights");
    refused(INFER "--images good.png --weights good.png", "good.png");
    free(longer);
    free(file);
}

static void refuse_cfg(const char *text, const char *sentence)
{
    write_text("bad.cfg", text);
    cli_expect(&r, "infer --model bad.cfg --images good.png", 1, sentence);
    assert_non_null(strstr(r.err, "bad.cfg"));
    cli_expect(&r, "inspect --model bad.cfg", 1, sentence);
}

static void test_cfgs(void **state)
{
    (void)state;
    refuse_cfg("[net]\n[conv]\n[route]\nlayers=1\n", "layers 0 to 0"); /* of itself */
    refuse_cfg("[net]\n[conv]\n[route]\nlayers=5\n[conv]\n", "layers");
    refuse_cfg("[net]\nwidth=2000000000\n[conv]\n", "width=2000000000");
    refuse_cfg("[net]\nwidth=8192\nheight=8192\nchannels=65536\n[conv]\n", "too large");
    refuse_cfg("[net]\n[conv]\nfilters=99999999999\n", "filters=99999999999");
    refuse_cfg("", "[net]");
    refuse_cfg("\xff\xd8\xff", "bad.cfg");
    refused("infer --model none.cfg", "none.cfg");
}

static void test_words(void **state)
{
    (void)state;
    static const char *const words[] = {
        INFER "--images good.png --conf 1.5",
        INFER "--images good.png --conf nan",
        INFER "--images good.png --nms 1",
        INFER "--images good.png --answer all",
        INFER "--images good.png --batch-size 4",
        INFER "--images good.png --dataset shapes",
        INFER "--images",
        "infer --model yolov4",
        "infer --model d.cfg --role client --layers :9",
        "infer --model d.cfg --role final --images good.png",
        "infer --model d.cfg --role client --layers :1 --output x",
        "train --model d.cfg",
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        cli_run(&r, words[i]);
        if (r.status != 2 || !*r.err)
            fail_msg("%s: status %d, wanted 2: %s", words[i], r.status, r.err);
    }
    refused(INFER "--images nowhere", "nowhere");
    for (int i = 0; i < 2; i++) { /* without a folder of samples, and with an empty one */
        cli_expect(&r, "infer --model d.cfg --inferences 2 --no-monitor", 0, "");
        assert_non_null(strstr(r.out, access("/usr/share/darknet/data", F_OK)
                                          ? "the first is scene0: drawn here, for DATA_DIR/samples"
                                          : "the first is /usr/share/darknet/data/dog.jpg"));
        cli_make_folders("data/samples");
    }
    cli_remove("data");
    cli_make_folders("empty");
    refused(INFER "--images empty", "holds no");
    refused(INFER "--images good.png --save-detections good.png/x", "good.png/x");
    refused(INFER "--images good.png --output nowhere/x", "nowhere/x");
    cli_remove("empty");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_pictures),
        cmocka_unit_test(test_one_of_many),
        cmocka_unit_test(test_odd_pictures),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_cfgs),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, enter, cli_leave);
}
