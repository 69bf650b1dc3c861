/* The order of an epoch's batches. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "datasets/dataset.h"

int loader_open(struct loader *l, struct dataset *ds, int batch_size, uint64_t batches,
                bool shuffle, uint64_t seed)
{
    memset(l, 0, sizeof(*l));
    if (batch_size < 1)
        return err_set(EINVAL, "a batch of %d samples was asked for: at least 1 is needed",
                       batch_size);
    uint64_t all = (ds->count + (uint64_t)batch_size - 1) / (uint64_t)batch_size;
    *l = (struct loader){.ds = ds,
                         .batch_size = batch_size,
                         .batches = batches == 0 || batches > all ? all : batches,
                         .shuffle = shuffle,
                         .seed = seed,
                         .epoch = -1};
    l->index = calloc((size_t)batch_size, sizeof(*l->index));
    if (shuffle)
        l->order = calloc(ds->count, sizeof(*l->order));
    if (l->index && (l->order || !shuffle))
        return 0;
    loader_close(l);
    return err_set(ENOMEM, "no memory for the order of %zu samples in batches of %d", ds->count,
                   batch_size);
}

void loader_close(struct loader *l)
{
    free(l->order);
    free(l->index);
    memset(l, 0, sizeof(*l));
}

int loader_samples(const struct loader *l, uint64_t batch)
{
    CHECK(batch < l->batches);
    uint64_t left = l->ds->count - batch * (uint64_t)l->batch_size;
    return left < (uint64_t)l->batch_size ? (int)left : l->batch_size;
}

/* Fisher-Yates from the last place down. word * places >> 32 favours no place by more than places /
 * 2^32. */
static void shuffle_order(struct loader *l, uint64_t epoch)
{
    struct rng r = rng_make(l->seed, RNG_SHUFFLE, 0, (uint32_t)epoch);
    uint32_t word[4], count = (uint32_t)l->ds->count;
    for (uint32_t i = 0; i < count; i++)
        l->order[i] = i;
    for (uint32_t draw = 0; draw + 1 < count; draw++) {
        if (draw % 4 == 0)
            rng_block(&r, draw / 4, word);
        uint32_t last = count - 1 - draw;
        uint32_t other = (uint32_t)((uint64_t)word[draw % 4] * (last + 1) >> 32);
        uint32_t swap = l->order[last];
        l->order[last] = l->order[other];
        l->order[other] = swap;
    }
    l->epoch = (int64_t)epoch;
}

void loader_read(struct loader *l, uint64_t epoch, uint64_t batch, int first, int n, float *images,
                 int32_t *labels)
{
    CHECK(first >= 0 && n >= 0 && first + n <= loader_samples(l, batch));
    if (l->shuffle && l->epoch != (int64_t)epoch)
        shuffle_order(l, epoch);
    uint64_t at = batch * (uint64_t)l->batch_size + (uint64_t)first;
    for (int i = 0; i < n; i++)
        l->index[i] = l->shuffle ? l->order[at + (uint64_t)i] : (uint32_t)(at + (uint64_t)i);
    dataset_read(l->ds, l->index, n, images, labels);
}
