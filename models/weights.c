/*
 * A model's parameters to and from safetensors files (darknet's: darknet_weights.c), and named
 * tensors that grow row by row (predictions). Which bytes a file holds is safetensors.c's concern,
 * merging parts weights_merge.c's. Called at start and end of a run, never in a step.
 */
#include "models/weights.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "models/darknet_weights.h"
#include "models/file_out.h"
#include "models/param_io.h"
#include "models/safetensors.h"

static void shape_of(const struct tensor *t, int64_t dim[TENSOR_MAX_DIM])
{
    for (int i = 0; i < t->ndim; i++)
        dim[i] = t->dim[i];
}

/* Calls fn for every parameter of the model's slice until one fails. */
static int each_param(const struct model *m,
                      int (*fn)(const struct model *m, struct param *p, void *arg), void *arg)
{
    for (int l = m->from; l < m->to; l++)
        for (int i = 0; i < m->layer[l]->nparam; i++) {
            int ret = fn(m, &m->layer[l]->param[i], arg);
            if (ret < 0)
                return ret;
        }
    return 0;
}

/* What a file says of itself where its weights came from darknet's: see enum weights_origin. */
static const char origin_note[] = "batch_norm";

struct loading {
    struct safetensors st;
    const struct safetensors_tensor *tensor; /* that is being read */
    void *block;
    int wanted, missing;
    char first_missing[LAYER_NAME_BYTES];
};

static int check_param(const struct model *m, struct param *p, void *arg)
{
    struct loading *in = arg;
    const struct safetensors_tensor *t = safetensors_find(&in->st, p->name);
    in->wanted++;
    if (!t) {
        if (in->missing++ == 0)
            memcpy(in->first_missing, p->name, sizeof(in->first_missing));
        return 0;
    }
    int64_t dim[TENSOR_MAX_DIM];
    shape_of(&p->value, dim);
    if (t->ndim != p->value.ndim || memcmp(t->dim, dim, (size_t)t->ndim * sizeof(dim[0])) != 0) {
        char there[128], want[128];
        return err_set(
            EINVAL,
            "%s: tensor %s has shape %s, %s wants %s: are these the weights of another model?",
            in->st.path, p->name, safetensors_shape_text(t->ndim, t->dim, there, sizeof(there)),
            m->name, safetensors_shape_text(p->value.ndim, dim, want, sizeof(want)));
    }
    if (strcmp(t->dtype, "F32") != 0)
        return err_set(EINVAL,
                       "%s: tensor %s is %s, F32 was wanted: convert it, in PyTorch with .float()",
                       in->st.path, p->name, t->dtype);
    return 0;
}

static int read_part(void *arg, size_t offset, void *data, size_t bytes)
{
    struct loading *in = arg;
    return safetensors_read(&in->st, in->tensor, offset, data, bytes);
}

static int load_param(const struct model *m, struct param *p, void *arg)
{
    struct loading *in = arg;
    in->tensor = safetensors_find(&in->st, p->name);
    return param_load(m, p, in->block, read_part, in);
}

static int load_safetensors(struct model *m, const char *path)
{
    struct loading in = {.wanted = 0};
    int ret = safetensors_open(&in.st, path);
    if (ret == 0)
        ret = each_param(m, check_param, &in);
    if (ret == 0 && in.missing > 0)
        ret = err_set(EINVAL,
                      "%s holds %zu tensors, but not %s: %d of the %d that %s wants for layers "
                      "%d:%d are missing. Are "
                      "these the weights of another model, or of another part of it?",
                      path, in.st.ntensor, in.first_missing, in.missing, in.wanted, m->name,
                      m->from, m->to);
    if (ret == 0) {
        in.block = malloc(PARAM_BLOCK_BYTES);
        if (!in.block)
            ret = err_set(ENOMEM, "no memory to read %s", path);
    }
    if (ret == 0)
        ret = each_param(m, load_param, &in);
    if (ret == 0) {
        const char *origin = safetensors_note(&in.st, origin_note);
        m->origin = origin && !strcmp(origin, "darknet") ? ORIGIN_DARKNET : ORIGIN_PYTORCH;
    }
    if (ret == 0 && m->dev)
        model_prepare(m);
    free(in.block);
    safetensors_close(&in.st);
    return ret;
}

int weights_load(struct model *m, const char *path)
{
    m->folded = false;
    return darknet_weights_named(path) ? darknet_weights_load(m, path) : load_safetensors(m, path);
}

int weights_load_shipped(struct model *m)
{
    m->folded = false;
    return darknet_weights_load_bytes(m, m->name, m->shipped, m->shipped_bytes);
}

int weights_cutoff(const char *path)
{
    return darknet_weights_cutoff(path);
}

struct saving {
    struct safetensors_out *out;
    void *block;
};

static int announce_param(const struct model *m, struct param *p, void *arg)
{
    struct saving *to = arg;
    int64_t dim[TENSOR_MAX_DIM];
    shape_of(&p->value, dim);
    return safetensors_out_add(to->out, p->name, "F32", p->value.ndim, dim,
                               tensor_bytes(&p->value));
}

/* A parameter that has moved by p->delta since its bytes were written, runs of p->repeat alike. */
static int save_with_delta(const struct model *m, const struct param *p, struct saving *to)
{
    size_t repeat = (size_t)p->repeat, total = tensor_count(&p->value) / repeat;
    size_t most = PARAM_BLOCK_BYTES / sizeof(float) / (repeat + 1); /* runs in a block */
    float *value = to->block, *delta = value + most * repeat;
    for (size_t at = 0, n; at < total; at += n) {
        n = total - at < most ? total - at : most;
        m->dev->ops->copy(m->dev, value, tensor_floats(&p->value) + at * repeat,
                          n * repeat * sizeof(float));
        m->dev->ops->copy(m->dev, delta, p->delta + at, n * sizeof(float));
        int ret = device_sync(m->dev);
        if (ret < 0)
            return ret;
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < repeat; j++)
                value[i * repeat + j] += delta[i];
        ret = safetensors_out_write(to->out, value, n * repeat * sizeof(float));
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int write_part(void *arg, size_t offset, void *data, size_t bytes)
{
    struct saving *to = arg;
    return safetensors_out_write(to->out, data, bytes);
}

static int save_param(const struct model *m, struct param *p, void *arg)
{
    struct saving *to = arg;
    return p->delta ? save_with_delta(m, p, to) : param_save(m, p, to->block, write_part, to);
}

int weights_save(const struct model *m, const char *path)
{
    CHECK(!m->folded);
    if (darknet_weights_named(path))
        return darknet_weights_save(m, path);
    struct saving to = {.block = malloc(PARAM_BLOCK_BYTES)};
    int ret =
        to.block ? safetensors_out_new(&to.out) : err_set(ENOMEM, "no memory to write %s", path);
    if (ret == 0 && m->origin == ORIGIN_DARKNET)
        ret = safetensors_out_note(to.out, origin_note, "darknet");
    if (ret == 0)
        ret = each_param(m, announce_param, &to);
    if (ret == 0)
        ret = safetensors_out_begin(to.out, path);
    /* What is still queued on the device may be the last update of these very bytes. */
    if (ret == 0 && m->dev)
        ret = device_sync(m->dev);
    if (ret == 0)
        ret = each_param(m, save_param, &to);
    if (ret == 0)
        ret = safetensors_out_commit(to.out);
    safetensors_out_free(to.out);
    free(to.block);
    return ret;
}

int weights_writable(const char *path)
{
    return file_out_possible(path);
}

struct weights_writer {
    struct safetensors_out *out;
};

int weights_writer_open(struct weights_writer **w, const char *path, const char *name,
                        const struct tensor *shape)
{
    struct weights_writer *writer = calloc(1, sizeof(*writer));
    *w = writer;
    if (!writer)
        return err_set(ENOMEM, "no memory to write %s", path);
    int64_t dim[TENSOR_MAX_DIM];
    shape_of(shape, dim);
    int ret = safetensors_out_new(&writer->out);
    if (ret == 0)
        ret = safetensors_out_add(writer->out, name, dtype_name(shape->dtype), shape->ndim, dim,
                                  tensor_bytes(shape));
    if (ret == 0)
        ret = safetensors_out_begin(writer->out, path);
    return ret;
}

int weights_writer_append(struct weights_writer *w, const float *data, size_t count)
{
    return safetensors_out_write(w->out, data, count * sizeof(*data));
}

int weights_writer_commit(struct weights_writer *w)
{
    return safetensors_out_commit(w->out);
}

void weights_writer_close(struct weights_writer *w)
{
    if (!w)
        return;
    safetensors_out_free(w->out);
    free(w);
}
