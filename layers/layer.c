/* What all layers share: allocation, parameters' shapes and names, checks of input shapes. */
#include "layers/layer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

void *layer_alloc(const struct layer_ops *ops, size_t bytes)
{
    struct layer *l = calloc(1, bytes);
    if (!l) {
        err_set(ENOMEM, "no memory for a layer of %zu bytes (%s)", bytes, ops->name);
        return NULL;
    }
    l->ops = ops;
    l->nin = 1;
    return l;
}

void layer_free(struct layer *l)
{
    if (!l)
        return;
    if (l->ops->free)
        l->ops->free(l);
    else
        free(l);
}

struct param *layer_add_param(struct layer *l, const char *name, int ndim, const int dim[])
{
    CHECK(l->nparam < LAYER_MAX_PARAM);
    struct param *p = &l->param[l->nparam++];
    snprintf(p->name, sizeof(p->name), "%s", name);
    p->value = tensor_f32(ndim, dim);
    return p;
}

int layer_want_images(const struct layer *l, const struct tensor *in, int channels)
{
    char text[64];
    if (in->ndim != 4)
        return err_set(EINVAL, "layer %d (%s) wants images (N, C, H, W), it gets %s", l->number,
                       l->ops->name, tensor_shape_text(in, text, sizeof(text)));
    if (channels && in->dim[1] != channels)
        return err_set(EINVAL, "layer %d (%s) wants %d channels, it gets %s", l->number,
                       l->ops->name, channels, tensor_shape_text(in, text, sizeof(text)));
    return 0;
}

void layer_plan_save(struct layer_plan *plan, enum dtype dtype, int ndim, const int dim[])
{
    CHECK(plan->nsaved < LAYER_MAX_SAVED);
    struct tensor *t = &plan->saved[plan->nsaved++];
    *t = tensor_f32(ndim, dim);
    t->dtype = dtype;
}

struct rng layer_weights_key(const struct layer *l, uint64_t seed, int param)
{
    return rng_make(seed, RNG_WEIGHTS, (uint32_t)l->number, (uint32_t)param);
}

void layer_copy(struct device *d, struct tensor *dst, const struct tensor *src, enum grad_mode mode)
{
    size_t row = tensor_row(src);
    if (dst->data == src->data)
        return;
    d->kernels->copy_rows(d, tensor_floats(dst), row, tensor_floats(src), row, row,
                          (size_t)src->dim[0], mode == GRAD_ADD);
}
