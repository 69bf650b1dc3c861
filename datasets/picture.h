/*
 * Pictures of 8-bit RGB: read from JPEG and PNG, written as PNG, brought to the size that a model
 * takes. What a file says is checked before memory is taken for it.
 *
 *     struct picture p;
 *     if (picture_read(&p, "dog.jpg") < 0) ...
 *     picture_stretch(&p, in, 416, 416);      // or picture_letterbox
 *     picture_close(&p);
 */
#ifndef DATASETS_PICTURE_H
#define DATASETS_PICTURE_H

#include <stddef.h>
#include <stdint.h>

enum { PICTURE_MAX_SIDE = 16384, PICTURE_MAX_FILE = 256 << 20 };
#define PICTURE_MAX_PIXELS ((size_t)128 << 20)

struct picture {
    int w, h;
    uint8_t *rgb; /* (h, w, 3) */
};

/* JPEG or PNG, by its first bytes. Transparency is dropped, grey becomes RGB. The file's errno;
 * -EINVAL: no such picture, damaged, cut short; -EFBIG: larger than the bounds above; -ENOMEM.
 * With a sentence that names the file. */
int picture_read(struct picture *p, const char *path);

/* The same of a file in memory; `name` is for the sentences. */
int picture_decode(struct picture *p, const void *file, size_t bytes, const char *name);

/* Black, of this size. -ENOMEM and a sentence. */
int picture_new(struct picture *p, int w, int h);
void picture_close(struct picture *p); /* a zeroed one is fine */

/* PNG, written beside its place and renamed when whole. -errno and a sentence. */
int picture_write(const struct picture *p, const char *path);

/* Both write planes of (3, h, w) in 0 to 1, and allocate: -ENOMEM and a sentence.
 *
 * stretch: what Pillow's Image.resize(BILINEAR) of this picture gives, to the last bit: a triangle
 * filter, as wide as the picture is reduced, columns first, 8 bits in between.
 * letterbox: darknet's letterbox_image: bilinear, the sides' ratio kept, the rest 0.5. */
int picture_stretch(const struct picture *p, float *planes, int w, int h);
int picture_letterbox(const struct picture *p, float *planes, int w, int h);

/* The size of the picture within a letterbox, and so its ratio and borders. */
void picture_letterbox_size(const struct picture *p, int w, int h, int *inner_w, int *inner_h);

#endif
