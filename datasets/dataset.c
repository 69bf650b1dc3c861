/* Which data set: by name, or the model's own, or the embedded one. The kinds are in files of their
 * own. */
#include "datasets/dataset.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "datasets/kinds.h"

static const struct dataset_kind *const *const group[] = {cifar_kinds, idx_kinds, shapes_kinds};

/* The kinds in order, NULL after the last. */
static const struct dataset_kind *kind_at(size_t number)
{
    for (size_t g = 0; g < sizeof(group) / sizeof(group[0]); g++)
        for (const struct dataset_kind *const *k = group[g]; *k; k++)
            if (number-- == 0)
                return *k;
    return NULL;
}

static const struct dataset_kind *kind_named(const char *name)
{
    const struct dataset_kind *k;
    for (size_t i = 0; (k = kind_at(i)); i++)
        if (strcmp(k->name, name) == 0)
            break;
    return k;
}

static int unknown_name(const char *name)
{
    char names[256] = "auto";
    const struct dataset_kind *k;
    for (size_t i = 0; (k = kind_at(i)); i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof(names) - used, ", %s", k->name);
    }
    return err_set(EINVAL, "there is no data set \"%s\": take one of %s", name, names);
}

static bool same_shape(const struct dataset_kind *k, const struct dataset_want *want)
{
    return k->c == want->c && k->h == want->h && k->w == want->w;
}

/* The model's own data set: the first of its shape, NULL where there is none. */
static const struct dataset_kind *own_kind(const struct dataset_want *want)
{
    const struct dataset_kind *k;
    for (size_t i = 0; (k = kind_at(i)); i++)
        if (same_shape(k, want))
            break;
    return k;
}

static int open_kind(const struct dataset_kind *k, const struct dataset_want *want,
                     struct dataset **ds)
{
    int ret = k->open(k, want, ds);
    if (!ret)
        (*ds)->name = k->name;
    return ret;
}

static int open_auto(struct dataset **ds, const struct dataset_want *want)
{
    const struct dataset_kind *own = own_kind(want);
    if (!own)
        return err_set(EINVAL, "no data set has pictures of %dx%dx%d, which the model takes",
                       want->c, want->h, want->w);
    if (own->found(own, want))
        return open_kind(own, want, ds);
    int ret = open_kind(kind_named("shapes"), want, ds);
    if (ret < 0)
        return ret;
    (*ds)->chosen_by_default = true;
    log_info("datasets",
             "%s is not in %s: taking shapes, which is drawn and needs no download "
             "(scripts/fetch_data.sh gets %s)",
             own->name, want->data_dir, own->name);
    return ret;
}

int dataset_open(struct dataset **ds, const struct dataset_want *want)
{
    *ds = NULL;
    if (strcmp(want->name, "auto") == 0)
        return open_auto(ds, want);
    const struct dataset_kind *k = kind_named(want->name);
    if (!k)
        return unknown_name(want->name);
    if (k->c != 0 && !same_shape(k, want))
        return err_set(EINVAL,
                       "the pictures of %s are %dx%dx%d, the model takes %dx%dx%d: take another "
                       "data set or model",
                       k->name, k->c, k->h, k->w, want->c, want->h, want->w);
    return open_kind(k, want, ds);
}
