/*
 * The kinds of data sets that dataset_open chooses from, and what those kept as bytes share. Adding
 * one: its file, its row there, and rows in the tests.
 */
#ifndef DATASETS_KINDS_H
#define DATASETS_KINDS_H

#include "datasets/dataset.h"

/* Embedded first in a kind's own description. */
struct dataset_kind {
    const char *name;
    int c, h, w; /* of its pictures; c 0: draws whichever of the two shapes is asked for */
    /* True if its first file is there. (optional: always there) */
    bool (*found)(const struct dataset_kind *k, const struct dataset_want *want);
    int (*open)(const struct dataset_kind *k, const struct dataset_want *want, struct dataset **ds);
};

/* Each NULL-terminated. "auto" takes the first kind of the model's shape, where it is found. */
extern const struct dataset_kind *const cifar_kinds[], *const idx_kinds[], *const shapes_kinds[];

/*
 * Pictures kept as bytes, their labels beside or between them. dataset_read turns byte b of channel
 * c into value[c][b]: (b / 255 - mean) / std, computed in float as PyTorch's ToTensor and Normalize
 * do.
 */
struct stored {
    struct dataset ds;
    /* Owned. label_bytes is NULL where the labels lie among the images. */
    uint8_t *image_bytes, *label_bytes;
    const uint8_t *image, *label; /* of the first sample */
    size_t image_stride, label_stride;
    float value[3][256];
};

/* A zeroed struct with its reader, its closer and the table of values; mean, std: c of them. */
struct stored *stored_new(const struct dataset_kind *k, const float mean[], const float std[]);

/* -EINVAL and a sentence if one of the labels [from, ds.count) is no class; sample numbers count
 * from `from`, as path does. */
int stored_check_labels(const struct stored *s, size_t from, const char *path);

#endif
