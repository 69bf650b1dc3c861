/*
 * What a model is made of, and its weights: building, memory, fresh weights, counts, the hash of
 * the definition. Where it is cut stands in slice.c, what runs it in pass.c.
 */
#include "models/model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "models/build.h"

enum { MODEL_FIRST_LAYERS = 32 };

int model_begin(struct model **out, const char *name, const struct tensor *in)
{
    struct model *m = calloc(1, sizeof(*m));
    if (!m)
        return err_set(ENOMEM, "no memory for the model %s", name);
    snprintf(m->name, sizeof(m->name), "%s", name);
    m->in = *in;
    *out = m;
    return 0;
}

/* The array grows by doubling: its room is the power of two at or above nlayer. */
static int make_room(struct model *m)
{
    int n = m->nlayer;
    if (n && (n < MODEL_FIRST_LAYERS || (n & (n - 1))))
        return 0;
    size_t room = n ? 2 * (size_t)n : MODEL_FIRST_LAYERS;
    struct layer **layer = realloc(m->layer, room * sizeof(*layer));
    if (!layer)
        return err_set(ENOMEM, "no memory for %zu layers of %s", room, m->name);
    m->layer = layer;
    return 0;
}

int model_add_from(struct model *m, struct layer *l, const char *name, int nin, const int input[])
{
    if (!l)
        return -ENOMEM;
    int ret = make_room(m);
    if (ret < 0) {
        layer_free(l);
        return ret;
    }
    CHECK(nin > 0 && nin <= LAYER_MAX_IN);
    l->number = m->nlayer;
    l->nin = nin;
    for (int i = 0; i < nin; i++) {
        CHECK(input[i] >= -1 && input[i] < l->number);
        l->input[i] = input[i];
    }
    snprintf(l->name, sizeof(l->name), "%s", name);
    for (int i = 0; i < l->nparam; i++) {
        char whole[LAYER_NAME_BYTES];
        int used = snprintf(whole, sizeof(whole), "%s.%s", name, l->param[i].name);
        CHECK(used > 0 && used < LAYER_NAME_BYTES);
        memcpy(l->param[i].name, whole, sizeof(whole));
    }
    m->layer[m->nlayer++] = l;
    return 0;
}

int model_add(struct model *m, struct layer *l, const char *name)
{
    int before = m->nlayer - 1;
    return model_add_from(m, l, name, 1, &before);
}

int model_finish(struct model *m)
{
    CHECK(m->nlayer > 0 && !m->plan);
    m->plan = calloc((size_t)m->nlayer, sizeof(*m->plan));
    if (!m->plan)
        return err_set(ENOMEM, "no memory for the shapes of %s", m->name);
    for (int i = 0; i < m->nlayer; i++) {
        const struct layer *l = m->layer[i];
        struct tensor in[LAYER_MAX_IN];
        for (int j = 0; j < l->nin; j++)
            in[j] = l->input[j] < 0 ? m->in : m->plan[l->input[j]].out;
        int ret = l->ops->plan(l, in, RUN_EVAL, &m->plan[i]);
        if (ret < 0)
            return err_prefix(ret, "model %s", m->name);
    }
    m->from = 0;
    m->to = m->nlayer;
    return 0;
}

void model_close(struct model *m)
{
    if (!m)
        return;
    buffer_close(&m->grads);
    buffer_close(&m->params);
    for (int i = 0; i < m->nlayer; i++)
        layer_free(m->layer[i]);
    free(m->layer);
    free(m->plan);
    free(m);
}

size_t model_param_count(const struct model *m, int from, int to)
{
    size_t count = 0;
    CHECK(from >= 0 && from <= to && to <= m->nlayer);
    for (int i = from; i < to; i++)
        for (int j = 0; j < m->layer[i]->nparam; j++)
            if (!m->layer[i]->param[j].state)
                count += tensor_count(&m->layer[i]->param[j].value);
    return count;
}

double model_flops(const struct model *m, int from, int to)
{
    double flops = 0;
    CHECK(from >= 0 && from <= to && to <= m->nlayer);
    for (int i = from; i < to; i++)
        flops += m->plan[i].flops;
    return flops;
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t model_hash(const struct model *m)
{
    char text[512], shape[64], own[256];
    snprintf(text, sizeof(text), "%s %s cut %d\n", m->name,
             tensor_shape_text(&m->in, shape, sizeof(shape)), m->default_cut);
    uint64_t hash = hash_text(UINT64_C(0xcbf29ce484222325), text);
    for (int i = 0; i < m->nlayer; i++) {
        const struct layer *l = m->layer[i];
        snprintf(text, sizeof(text), "%d %s %s %s -> %s from", l->number, l->ops->name, l->name,
                 l->ops->describe ? l->ops->describe(l, own, sizeof(own)) : "",
                 tensor_shape_text(&m->plan[i].out, shape, sizeof(shape)));
        hash = hash_text(hash, text);
        for (int j = 0; j < l->nin; j++) {
            snprintf(text, sizeof(text), " %d", l->input[j]);
            hash = hash_text(hash, text);
        }
        hash = hash_text(hash, "\n");
    }
    return hash;
}

static int check_kernels(const struct model *m, const struct device *dev, enum run_mode run)
{
    for (int i = m->from; i < m->to; i++) {
        const struct layer *l = m->layer[i];
        const char *missing = l->ops->missing ? l->ops->missing(l, dev->kernels, run) : NULL;
        if (missing)
            return err_set(ENOTSUP,
                           "layer %d (%s) of %s needs the kernel %s, which %s lacks; choose "
                           "another device",
                           i, l->ops->name, m->name, missing, dev->kernels->name);
    }
    return 0;
}

static void place_params(struct model *m, struct arena *a)
{
    for (int state = 0; state <= 1; state++) {
        for (int i = m->from; i < m->to; i++)
            for (int j = 0; j < m->layer[i]->nparam; j++)
                if (m->layer[i]->param[j].state == state)
                    arena_place(a, &m->layer[i]->param[j].value);
        if (!state)
            m->nparam_floats = a->used / sizeof(float);
    }
}

int model_set_grads(struct model *m, enum model_grads grads)
{
    CHECK(m->dev && grads != MODEL_GRADS_NONE);
    if (grads == MODEL_GRADS_OWN && !m->grads.dev) {
        size_t bytes = m->nparam_floats * sizeof(float);
        int ret = buffer_open(&m->grads, m->dev, PLACE_DEVICE, bytes, "gradients");
        if (ret < 0)
            return ret;
    }
    enum model_grads before = m->grads_kind;
    if (before == MODEL_GRADS_FUSED && grads == MODEL_GRADS_OWN)
        model_settle(m);
    m->grads_kind = grads;
    for (int i = m->from; i < m->to; i++)
        for (int j = 0; j < m->layer[i]->nparam; j++) {
            struct param *p = &m->layer[i]->param[j];
            if (p->state)
                continue;
            p->grad = tensor_floats(&p->value);
            if (grads == MODEL_GRADS_OWN) /* where the weight is in its own buffer */
                p->grad = (float *)m->grads.base + (p->grad - (float *)m->params.base);
        }
    if (before == MODEL_GRADS_OWN && grads == MODEL_GRADS_FUSED)
        model_prepare(m);
    return 0;
}

static int bind_layers(struct model *m)
{
    int ret = 0;
    for (int i = m->from; i < m->to && ret == 0; i++)
        if (m->layer[i]->ops->bind)
            ret = m->layer[i]->ops->bind(m->layer[i], m->dev);
    return ret;
}

int model_bind(struct model *m, struct device *dev, enum run_mode run, enum model_grads grads)
{
    CHECK(!m->dev && (run == RUN_TRAIN || grads == MODEL_GRADS_NONE));
    int ret = check_kernels(m, dev, run);
    if (ret < 0)
        return ret;
    struct arena count = {NULL, 0};
    place_params(m, &count);
    ret = buffer_open(&m->params, dev, PLACE_DEVICE, count.used, "weights");
    if (ret < 0)
        return ret;
    struct arena place = {&m->params, 0};
    place_params(m, &place);
    m->dev = dev;
    m->grads_kind = MODEL_GRADS_NONE;
    ret = bind_layers(m);
    if (ret == 0 && grads != MODEL_GRADS_NONE)
        ret = model_set_grads(m, grads);
    if (ret < 0) {
        buffer_close(&m->params);
        m->dev = NULL;
    }
    return ret;
}

void model_init(struct model *m, uint64_t seed)
{
    CHECK(m->dev);
    m->folded = false;
    m->origin = ORIGIN_PYTORCH;
    for (int i = m->from; i < m->to; i++)
        if (m->layer[i]->ops->init)
            m->layer[i]->ops->init(m->layer[i], m->dev, seed);
    model_prepare(m);
}

void model_prepare(struct model *m)
{
    CHECK(m->dev);
    for (int i = m->from; i < m->to; i++)
        if (m->layer[i]->ops->prepare)
            m->layer[i]->ops->prepare(m->layer[i], m->dev);
}

void model_settle(struct model *m)
{
    CHECK(m->dev);
    for (int i = m->from; i < m->to; i++)
        if (m->layer[i]->ops->settle)
            m->layer[i]->ops->settle(m->layer[i], m->dev);
}

void model_fold(struct model *m)
{
    CHECK(m->dev);
    if (m->folded)
        return;
    for (int i = m->from; i < m->to; i++) {
        if (!m->layer[i]->ops->fold)
            continue;
        m->layer[i]->ops->fold(m->layer[i], m->dev, m->origin);
        m->folded = true;
    }
}
