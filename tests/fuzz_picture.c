/*
 * Fuzzer of the picture readers: the input is a JPEG or PNG file. No input may crash them, and what
 * is decoded can be resized. `make fuzz` builds it: clang -fsanitize=fuzzer,address.
 */
#include "datasets/picture.h"
#include "tests/fuzz_input.h"
#include "tests/picture_fixture.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_seed(*argc, *argv, "jpeg", jpeg_7x5, sizeof(jpeg_7x5));
    fuzz_seed(*argc, *argv, "progressive", jpeg_progressive, sizeof(jpeg_progressive));
    fuzz_seed(*argc, *argv, "cmyk", jpeg_cmyk, sizeof(jpeg_cmyk));
    fuzz_seed(*argc, *argv, "png", png_palette, sizeof(png_palette));
    fuzz_seed(*argc, *argv, "alpha", png_alpha, sizeof(png_alpha));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static float planes[3 * 9 * 7];
    struct picture p;
    if (picture_decode(&p, data, bytes, "fuzz") < 0)
        return 0;
    if ((size_t)p.w * (size_t)p.h <= 1 << 20) {
        CHECK(picture_stretch(&p, planes, 9, 7) == 0);
        for (size_t i = 0; i < sizeof(planes) / sizeof(*planes); i++)
            CHECK(planes[i] >= 0 && planes[i] <= 1);
        CHECK(picture_letterbox(&p, planes, 9, 7) == 0);
        for (size_t i = 0; i < sizeof(planes) / sizeof(*planes); i++)
            CHECK(planes[i] >= 0 && planes[i] <= 1.00001f);
    }
    picture_close(&p);
    return 0;
}
