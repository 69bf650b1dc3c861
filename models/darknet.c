/* Sections of darknet's models as layers, planned one by one. */
#include "models/darknet.h"

#include <errno.h>
#include <stdio.h>

#include "base/err.h"

void darknet_begin(struct darknet_builder *b, struct model *m)
{
    b->m = m;
    b->nyolo = b->npool = 0;
    b->first_shortcut = b->second_maxpool = 0;
}

int darknet_check_options(const char *name, const struct model_options *opt)
{
    if (opt->codec)
        return err_set(EINVAL,
                       "%s has no codec: those units belong to the VGG models; leave --codec out",
                       name);
    return 0;
}

/* The shape of layer `number`, -1: the model's input. */
static const struct tensor *shape_of(const struct darknet_builder *b, int number)
{
    return number < 0 ? &b->m->in : &b->out[number];
}

/* Takes l. */
static int add(struct darknet_builder *b, struct layer *l, int nin, const int from[])
{
    struct model *m = b->m;
    char name[LAYER_NAME_BYTES];
    int number = m->nlayer;
    if (number == DARKNET_MAX_LAYERS) {
        layer_free(l);
        return err_set(EINVAL, "more than %d layers", DARKNET_MAX_LAYERS);
    }
    snprintf(name, sizeof(name), "module_list.%d", number);
    int ret = model_add_from(m, l, name, nin, from);
    if (ret < 0)
        return ret;
    struct tensor in[LAYER_MAX_IN];
    struct layer_plan plan = {.nsaved = 0};
    for (int i = 0; i < nin; i++)
        in[i] = *shape_of(b, from[i]);
    ret = l->ops->plan(l, in, RUN_EVAL, &plan);
    if (ret < 0)
        return ret;
    if (tensor_count(&plan.out) > DARKNET_MAX_VALUES) {
        char text[64];
        return err_set(EINVAL, "layer %d (%s): its output %s is larger than %d values", number,
                       l->ops->name, tensor_shape_text(&plan.out, text, sizeof(text)),
                       DARKNET_MAX_VALUES);
    }
    b->out[number] = plan.out;
    return 0;
}

static int add_behind(struct darknet_builder *b, struct layer *l)
{
    int before = b->m->nlayer - 1;
    return add(b, l, 1, &before);
}

int darknet_add_convolutional(struct darknet_builder *b, const struct darknet_conv_dims *dims)
{
    struct darknet_conv_dims c = *dims;
    const struct tensor *in = shape_of(b, b->m->nlayer - 1);
    c.channels = in->ndim == 4 ? in->dim[1] : 1; /* else the plan says what is wrong */
    double values = (double)c.channels * c.size * c.size * c.filters;
    if (values > DARKNET_MAX_VALUES)
        return err_set(EINVAL,
                       "layer %d (convolutional): %d channels, %d filters of size %d are %.0f "
                       "weights, at most %d are taken",
                       b->m->nlayer, c.channels, c.filters, c.size, values, DARKNET_MAX_VALUES);
    return add_behind(b, darknet_conv_new(b->m->nlayer, &c));
}

int darknet_add_maxpool(struct darknet_builder *b, int size, int stride, int padding)
{
    int before = padding / 2, number = b->m->nlayer;
    int ret = add_behind(b, maxpool_new(size, stride, before, padding - before));
    if (ret == 0 && ++b->npool == 2)
        b->second_maxpool = number;
    return ret;
}

int darknet_add_upsample(struct darknet_builder *b, int factor)
{
    return add_behind(b, upsample_new(factor));
}

int darknet_add_route(struct darknet_builder *b, int n, const int from[])
{
    return add(b, route_new(), n, from);
}

int darknet_add_shortcut(struct darknet_builder *b, int from, enum act act)
{
    int number = b->m->nlayer;
    int ret = add(b, shortcut_new(act), 2, (int[]){number - 1, from});
    if (ret == 0 && b->first_shortcut == 0)
        b->first_shortcut = number;
    return ret;
}

int darknet_add_yolo(struct darknet_builder *b, int classes, int anchors, const float anchor[][2],
                     bool last)
{
    const struct tensor *in = &b->m->in;
    int number = b->m->nlayer, from[LAYER_MAX_IN] = {number - 1}, nin = 1;
    if (b->nyolo == LAYER_MAX_IN)
        return err_set(EINVAL, "more than %d yolo layers", LAYER_MAX_IN);
    for (int i = 0; i < b->nyolo && last; i++)
        from[nin++] = b->yolo[i];
    int ret = add(b, yolo_new(in->dim[3], in->dim[2], classes, anchors, anchor), nin, from);
    if (ret == 0)
        b->yolo[b->nyolo++] = number;
    if (ret == 0 && last)
        b->m->classes = classes;
    return ret;
}

void darknet_end(struct darknet_builder *b)
{
    struct model *m = b->m;
    const struct tensor *out = &b->out[m->nlayer - 1];
    int block = b->first_shortcut ? b->first_shortcut : b->second_maxpool;
    if (b->nyolo)
        m->boxes = out->dim[1];
    else
        m->classes = out->dim[1];
    if (block && model_cut_legal(m, block + 1))
        m->default_cut = block + 1;
}
