/* `inspect`: what a model is, from its plan alone: no weights are allocated and no device is
 * opened. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "base/err.h"
#include "engine/command.h"
#include "engine/setup.h"

/* A layer's output for n samples. */
static struct tensor output(const struct model *m, int layer, int n)
{
    struct tensor t = m->plan[layer].out;
    t.dim[0] = n;
    return t;
}

static size_t cut_bytes(const struct model *m, int cut, int n)
{
    struct tensor t = model_crossing(m, cut, n);
    return tensor_bytes(&t);
}

static const char *describe(const struct layer *l, char *text, size_t bytes)
{
    return l->ops->describe ? l->ops->describe(l, text, bytes) : "";
}

static void print_table(const struct model *m, int n)
{
    char shape[64], text[128], layer[192];
    struct tensor in = model_crossing(m, 0, n);
    printf("%s, input %s\n\n", m->name, tensor_shape_text(&in, shape, sizeof(shape)));
    printf("%3s  %-20s %-58s %-20s %10s %12s %13s\n", "", "name", "layer", "output", "parameters",
           "MFLOP/sample", "bytes to next");
    for (int i = 0; i < m->nlayer; i++) {
        const struct layer *l = m->layer[i];
        struct tensor out = output(m, i, n);
        snprintf(layer, sizeof(layer), "%s %s", l->ops->name, describe(l, text, sizeof(text)));
        printf("%3d  %-20s %-58s %-20s %10zu %12.3f ", i, l->name, layer,
               tensor_shape_text(&out, shape, sizeof(shape)), model_param_count(m, i, i + 1),
               1e-6 * m->plan[i].flops);
        if (i + 1 == m->nlayer)
            printf("%13s\n", "");
        else if (model_cut_legal(m, i + 1))
            printf("%13zu%s\n", cut_bytes(m, i + 1, n),
                   i + 1 == m->default_cut ? "  default cut" : "");
        else
            printf("%13s\n", "no cut");
    }
    printf("\n%zu parameters (%.1f MiB), %.3f MFLOP a sample forward\n",
           model_param_count(m, 0, m->nlayer),
           (double)model_param_count(m, 0, m->nlayer) * sizeof(float) / (1 << 20),
           1e-6 * model_flops(m, 0, m->nlayer));
    if (m->default_cut)
        printf("default cut: layers 0:%d (%zu parameters) and %d:%d (%zu parameters)\n",
               m->default_cut, model_param_count(m, 0, m->default_cut), m->default_cut, m->nlayer,
               model_param_count(m, m->default_cut, m->nlayer));
}

static json_t *shape_json(const struct tensor *t)
{
    json_t *a = json_array();
    for (int i = 0; i < t->ndim; i++)
        json_array_append_new(a, json_integer(t->dim[i]));
    return a;
}

/* "cut" is what crosses between this layer and the next: null where no cut is legal. */
static json_t *layer_json(const struct model *m, int i, int n)
{
    char text[128];
    const struct layer *l = m->layer[i];
    struct tensor out = output(m, i, n);
    json_t *cut = json_null();
    if (i + 1 < m->nlayer && model_cut_legal(m, i + 1))
        cut = json_pack("{s:I}", "bytes", (json_int_t)cut_bytes(m, i + 1, n));
    json_t *inputs = json_array();
    for (int k = 0; k < l->nin; k++)
        json_array_append_new(inputs, json_integer(l->input[k]));
    return json_pack("{s:i,s:s,s:s,s:s,s:o,s:o,s:I,s:f,s:o}", "number", i, "name", l->name, "type",
                     l->ops->name, "description", describe(l, text, sizeof(text)), "inputs", inputs,
                     "output", shape_json(&out), "parameters",
                     (json_int_t)model_param_count(m, i, i + 1), "flops_per_sample",
                     m->plan[i].flops, "cut", cut);
}

static int print_json(const struct model *m, int n)
{
    char hash[17];
    struct tensor in = model_crossing(m, 0, n);
    snprintf(hash, sizeof(hash), "%016" PRIx64, model_hash(m));
    json_t *layers = json_array();
    for (int i = 0; i < m->nlayer; i++)
        json_array_append_new(layers, layer_json(m, i, n));
    json_t *all =
        json_pack("{s:s,s:s,s:i,s:o,s:i,s:I,s:f,s:o}", "model", m->name, "hash", hash, "batch_size",
                  n, "input", shape_json(&in), "default_cut", m->default_cut, "parameters",
                  (json_int_t)model_param_count(m, 0, m->nlayer), "flops_per_sample",
                  model_flops(m, 0, m->nlayer), "layers", layers);
    if (!all)
        return err_set(ENOMEM, "no memory for the description of %s", m->name);
    json_dumpf(all, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(all);
    return 0;
}

int cmd_inspect(const struct config *c)
{
    if (!c->model)
        return err_set(EINVAL, "inspect wants a model: give --model M, as in --model vgg11");
    struct model *m;
    int ret = setup_model(&m, c);
    if (ret < 0)
        return ret;
    /* a detector's request is one picture */
    int n = m->boxes && !config_given(c, OPT_BATCH_SIZE) ? 1 : c->batch_size;
    if (c->json)
        ret = print_json(m, n);
    else
        print_table(m, n);
    model_close(m);
    return ret;
}
