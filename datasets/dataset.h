/*
 * Producers of batches. A data set is opened whole (its files are mapped or read once); reading
 * samples allocates nothing.
 *
 *     struct dataset *ds;
 *     struct dataset_want want = {.name = "auto", .data_dir = "data", .split = DATASET_TRAIN,
 *                                 .c = 3, .h = 32, .w = 32};
 *     if (dataset_open(&ds, &want) < 0) ...
 *     dataset_read(ds, index, n, images, labels);
 *     dataset_close(ds);
 */
#ifndef DATASETS_DATASET_H
#define DATASETS_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dataset_split { DATASET_TRAIN, DATASET_TEST };

struct dataset_want {
    const char *name; /* "auto", "cifar10", "cifar100", "fashion-mnist", "mnist", "shapes" */
    const char *data_dir;
    enum dataset_split split;
    int c, h, w;   /* what the model takes: 3x32x32 or 1x28x28 */
    uint64_t seed; /* of `shapes` */
};

struct dataset;

struct dataset_ops {
    const char *name;
    /* Samples index[0..n): images (n, c, h, w) normalised, labels (n). Cannot fail: all was
     * checked at open. */
    void (*read)(struct dataset *ds, const uint32_t *index, int n, float *images, int32_t *labels);
    void (*close)(struct dataset *ds);
};

/* Embedded first in each kind's own struct. */
struct dataset {
    const struct dataset_ops *ops;
    const char *name; /* as dataset_want has it, never "auto" */
    size_t count;
    int classes, c, h, w;
    const char *const *class_name; /* `classes` of them, or NULL */
    bool chosen_by_default;        /* "auto" took shapes because nothing else was found */
};

/*
 * Opens by name. "auto": the model's own set (3x32x32: cifar10, 1x28x28: fashion-mnist) where it is
 * found, else shapes, and says so in the log. A file that is missing, cut short or not what its
 * name says, a label out of range: -ENOENT or -EINVAL and a sentence with the path and, where it
 * helps, how to get the data.
 */
int dataset_open(struct dataset **ds, const struct dataset_want *want);

static inline void dataset_read(struct dataset *ds, const uint32_t *index, int n, float *images,
                                int32_t *labels)
{
    ds->ops->read(ds, index, n, images, labels);
}

static inline void dataset_close(struct dataset *ds)
{
    if (ds)
        ds->ops->close(ds);
}

/*
 * The order of an epoch: batch b of epoch e. In reading order, or shuffled by (seed, epoch). The
 * last batch of the data set may be short; batches beyond the data set end the epoch.
 */
struct loader {
    struct dataset *ds;
    int batch_size;
    uint64_t batches; /* an epoch's, after --batches was applied */
    bool shuffle;
    uint64_t seed;
    uint32_t *order; /* ds->count of them; NULL when in order */
    uint32_t *index; /* batch_size of them */
    int64_t epoch;   /* that `order` is of; -1: none yet */
};

/* batches: at most so many an epoch, 0 for all. */
int loader_open(struct loader *l, struct dataset *ds, int batch_size, uint64_t batches,
                bool shuffle, uint64_t seed);
void loader_close(struct loader *l);
/* How many samples batch holds: batch_size or less. */
int loader_samples(const struct loader *l, uint64_t batch);

/* Fills samples [first, first + n) of the batch: a micro-batch, or all of it. */
void loader_read(struct loader *l, uint64_t epoch, uint64_t batch, int first, int n, float *images,
                 int32_t *labels);

#endif
