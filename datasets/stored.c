/* Reading samples from data sets that are kept as bytes (idx.c, cifar.c fill them in). */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "datasets/kinds.h"

static void stored_read(struct dataset *ds, const uint32_t *index, int n, float *images,
                        int32_t *labels)
{
    const struct stored *s = (const struct stored *)ds;
    size_t plane = (size_t)ds->h * (size_t)ds->w;
    float *out = images;
    for (int i = 0; i < n; i++) {
        const uint8_t *in = s->image + index[i] * s->image_stride;
        for (int c = 0; c < ds->c; c++, in += plane, out += plane)
            for (size_t p = 0; p < plane; p++)
                out[p] = s->value[c][in[p]];
        labels[i] = s->label[index[i] * s->label_stride];
    }
}

static void stored_close(struct dataset *ds)
{
    struct stored *s = (struct stored *)ds;
    free(s->image_bytes);
    free(s->label_bytes);
    free(s);
}

struct stored *stored_new(const struct dataset_kind *k, const float mean[], const float std[])
{
    static const struct dataset_ops ops = {
        .name = "stored", .read = stored_read, .close = stored_close};
    struct stored *s = calloc(1, sizeof(*s));
    if (!s) {
        err_set(ENOMEM, "no memory for the data set %s", k->name);
        return NULL;
    }
    s->ds = (struct dataset){.ops = &ops, .c = k->c, .h = k->h, .w = k->w};
    for (int c = 0; c < k->c; c++)
        for (int b = 0; b < 256; b++)
            s->value[c][b] = ((float)b / 255.0f - mean[c]) / std[c];
    return s;
}

int stored_check_labels(const struct stored *s, size_t from, const char *path)
{
    for (size_t i = from; i < s->ds.count; i++) {
        int label = s->label[i * s->label_stride];
        if (label >= s->ds.classes)
            return err_set(EINVAL, "%s: the label of sample %zu is %d, 0 to %d were wanted", path,
                           i - from, label, s->ds.classes - 1);
    }
    return 0;
}
