/* The formats of pictures, for picture.c, which tells them apart and frees what was decoded before
 * an error. */
#ifndef DATASETS_PICTURE_KINDS_H
#define DATASETS_PICTURE_KINDS_H

#include "datasets/picture.h"

int picture_decode_jpeg(struct picture *p, const void *file, size_t bytes, const char *name);
int picture_decode_png(struct picture *p, const void *file, size_t bytes, const char *name);

/* 0, or -EFBIG or -EINVAL and a sentence: before memory is taken. */
int picture_check_size(const char *name, size_t w, size_t h);

#endif
