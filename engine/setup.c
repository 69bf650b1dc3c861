/* Device, model, weights, data set of a run. */
#include "engine/setup.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/err.h"
#include "models/weights.h"

FILE *setup_messages(const struct config *c)
{
    return c->quiet ? NULL : c->json ? stderr : stdout;
}

void setup_say(const struct config *c, const char *fmt, ...)
{
    FILE *to = setup_messages(c);
    if (!to)
        return;
    va_list ap;
    va_start(ap, fmt);
    vfprintf(to, fmt, ap);
    va_end(ap);
    fputc('\n', to);
}

int setup_not_words(int ret)
{
    return ret == -EINVAL ? -EBADMSG : ret;
}

static int setup_cpu(struct device **dev, const struct config *c, const char *why)
{
    if (c->conv_algo == CONV_CUDNN)
        return err_set(ENOTSUP, "--conv-algo cudnn wants a GPU, this run is on the CPU%s%s",
                       why ? ": " : "", why ? why : "");
    if (c->math != MATH_FP32)
        return err_set(ENOTSUP, "--math %s wants a GPU, this run is on the CPU%s%s: leave it out",
                       math_name(c->math), why ? ": " : "", why ? why : "");
    int ret = device_cpu_open(dev, c->threads, c->isa);
    if (ret < 0)
        return setup_not_words(ret);
    int threads = device_cpu_threads(*dev);
    setup_say(c, "Using cpu (%s, %d thread%s) for processing%s%s", device_cpu_isa(*dev), threads,
              threads == 1 ? "" : "s", why ? ": " : "", why ? why : "");
    return 0;
}

static int setup_cuda(struct device **dev, const struct config *c, int ordinal)
{
    struct gpu_info info;
    int ret = device_cuda_open(dev, ordinal);
    if (ret == 0)
        ret = device_cuda_info(ordinal, &info);
    if (ret == 0 && c->math != MATH_FP32)
        ret = device_cuda_use_math(*dev, c->math);
    if (ret != 0) {
        device_close(*dev);
        *dev = NULL;
        return setup_not_words(ret);
    }
    setup_say(c, "Using cuda:%d (%s, compute capability %d.%d) for processing%s%s", ordinal,
              info.name, info.major, info.minor, c->math != MATH_FP32 ? ", products in " : "",
              c->math != MATH_FP32 ? math_name(c->math) : "");
    return 0;
}

int setup_device(struct device **dev, const struct config *c)
{
    if (c->device == DEVICE_CPU)
        return setup_cpu(dev, c, NULL);
    if (c->device == DEVICE_CUDA) {
        int ret = setup_cuda(dev, c, c->device_number);
        return ret < 0 ? err_prefix(ret, "%s cuda:%d",
                                    config_given(c, OPT_DEVICE) ? "--device" : "SPARSE_DEVICE",
                                    c->device_number)
                       : 0;
    }
    if (config_given(c, OPT_ISA) || config_given(c, OPT_THREADS))
        return setup_cpu(dev, c, "--isa and --threads are the CPU's");
    int count;
    if (device_cuda_count(&count) == 0)
        return setup_cuda(dev, c, 0);
    char why[256];
    snprintf(why, sizeof(why), "%s", err_text());
    return setup_cpu(dev, c, why);
}

int setup_model(struct model **m, const struct config *c)
{
    struct model_options opt = model_options_default();
    opt.codec = c->codec;
    opt.dropout = c->dropout;
    opt.unfolded = c->unfolded;
    int ret = model_open(m, c->model, &opt);
    if (!ret && c->command == CMD_TRAIN && (*m)->boxes) {
        ret = err_set(EINVAL,
                      "--model %s is a detector, and those are not trained here: choose "
                      "another model",
                      c->model);
        model_close(*m);
        *m = NULL;
    }
    return ret;
}

int setup_all_layers(const struct model *m, const struct config *c)
{
    bool all = (c->from < 0 || c->from == 0) && (c->to < 0 || c->to == m->nlayer);
    if (all && c->part != PART_FIRST && c->part != PART_LAST)
        return 0;
    const char *layers = c->words.value[OPT_LAYERS];
    return err_set(EINVAL,
                   "role %s runs all layers of %s, 0:%d, there is %s%s: leave it out, or choose a "
                   "--role that runs a part",
                   c->role->name, m->name, m->nlayer, layers ? "--layers " : "--model ",
                   layers ? layers : c->words.value[OPT_MODEL]);
}

bool setup_weights_fresh(const struct model *m, const struct config *c)
{
    return !c->weights && !m->shipped;
}

int setup_weights(struct model *m, const struct config *c)
{
    if (!c->weights && m->shipped) {
        setup_say(c, "Weights: those that come with %s", m->name);
        return setup_not_words(weights_load_shipped(m));
    }
    int cutoff = c->weights ? weights_cutoff(c->weights) : 0;
    if (!c->weights || cutoff)
        model_init(m, c->seed);
    if (!c->weights)
        return device_sync(m->dev);
    int ret = weights_load(m, c->weights);
    if (!ret && cutoff)
        setup_say(c, "Weights of layers 0:%d from %s, those behind are fresh", cutoff, c->weights);
    else if (!ret)
        setup_say(c, "Weights from %s", c->weights);
    return setup_not_words(ret);
}

/* Why this one, as a clause. */
static const char *why(const struct dataset *ds, const struct config *c)
{
    if (strcmp(c->dataset, "auto"))
        return "as --dataset says";
    return ds->chosen_by_default ? "embedded; the model's own set was not found"
                                 : "the model's own set";
}

int setup_dataset(struct dataset **ds, const struct config *c, const struct model *m,
                  enum dataset_split split)
{
    struct dataset_want want = {
        .name = c->dataset,
        .data_dir = c->data_dir,
        .split = split,
        .c = m->in.dim[1],
        .h = m->in.ndim > 2 ? m->in.dim[2] : 1,
        .w = m->in.ndim > 3 ? m->in.dim[3] : 1,
        .seed = c->seed,
    };
    int ret = dataset_open(ds, &want);
    if (ret < 0)
        return setup_not_words(ret);
    if ((*ds)->classes > m->classes) {
        ret =
            err_set(ERANGE, "data set %s has %d classes, %s tells %d apart: choose another of them",
                    (*ds)->name, (*ds)->classes, m->name, m->classes);
        dataset_close(*ds);
        *ds = NULL;
        return ret;
    }
    setup_say(c, "Data set %s, %s, %zu samples of %d classes: %s", (*ds)->name,
              split == DATASET_TRAIN ? "training split" : "test split", (*ds)->count,
              (*ds)->classes, why(*ds, c));
    return 0;
}
