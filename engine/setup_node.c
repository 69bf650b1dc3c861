/* A node's share of a model, its device, its network side, its weights. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "engine/setup.h"
#include "models/weights.h"

/* How long a neighbour may be silent in the middle of a step. The next node may be slow, or serve
 * other streams in turn first. A connection that is dead is noticed earlier, by the transport. */
enum { INPUT_TIMEOUT_MS = 60 * 1000, ANSWER_TIMEOUT_MS = 300 * 1000 };

static int no_default_cut(const struct model *m, const struct config *c)
{
    return err_set(EINVAL,
                   "role %s of %s has no default cut: say with --layers A:B which layers it runs",
                   c->role->name, m->name);
}

static int check_ends(const struct model *m, const struct config *c, int from, int to)
{
    const char *role = c->role->name;
    if (!c->role->listens && from != 0)
        return err_set(EINVAL, "role %s begins at layer 0, there is --layers %d:%d", role, from,
                       to);
    if (!c->role->upstream && to != m->nlayer)
        return err_set(EINVAL, "role %s ends at layer %d, the last of %s, there is --layers %d:%d",
                       role, m->nlayer, m->name, from, to);
    if (c->role->upstream && to == m->nlayer)
        return err_set(EINVAL,
                       "role %s leaves at least one layer to the next node, there is --layers "
                       "%d:%d of %d layers",
                       role, from, to, m->nlayer);
    return 0;
}

static int take_slice(struct model *m, const struct config *c, bool *open)
{
    bool told = config_given(c, OPT_LAYERS);
    int from = c->from, to = c->to;
    *open = false;
    if (!c->role->listens && !c->role->upstream)
        return setup_all_layers(m, c);
    if (!c->role->listens && !c->role->layers) {
        if (told && (from > 0 || to != 0))
            return err_set(EINVAL, "role %s runs no layers, there is --layers: leave it out",
                           c->role->name);
        if (c->save || c->weights)
            return err_set(EINVAL, "role %s has no weights, there is --%s: leave it out",
                           c->role->name, c->save ? "save" : "weights");
        return model_slice(m, 0, 0);
    }
    if (to < 0 && c->role->upstream && !(to = m->default_cut))
        return no_default_cut(m, c);
    if (to < 0)
        to = m->nlayer;
    if (from < 0 && !c->role->upstream && c->part == PART_LAST && !(from = m->default_cut))
        return no_default_cut(m, c);
    if (from < 0 && !c->role->upstream && !told && c->part == PART_UNSAID) {
        *open = true;
        return 0;
    }
    if (from < 0)
        from = 0;
    int ret = check_ends(m, c, from, to);
    return ret < 0 ? ret : model_slice(m, from, to);
}

int setup_share(struct model **m, const struct config *c, const char *saves, bool *open)
{
    int ret = setup_model(m, c);
    if (!ret)
        ret = take_slice(*m, c, open);
    if (!ret && saves)
        ret = setup_not_words(weights_writable(saves));
    return ret;
}

/* io_uring moves frames while this thread computes, so the loop runs in it: no thread to switch to
 * for each frame. poll moves them only when it is called, so it has a thread of its own. */
static int open_net(struct node *n, const struct config *c)
{
    static const enum net_transport transport[] = {
        [TRANSPORT_AUTO] = NET_AUTO, [TRANSPORT_URING] = NET_URING, [TRANSPORT_POLL] = NET_POLL};
    struct net_options opt = net_options_default();
    opt.transport = transport[c->transport];
    opt.thread = opt.transport == NET_POLL;
    int ret = net_open(&n->net, &opt);
    if (ret < 0 || opt.thread || strcmp(net_transport_text(n->net), "poll"))
        return ret;
    net_close(n->net); /* io_uring is refused here */
    n->net = NULL;
    opt.transport = NET_POLL;
    opt.thread = true;
    return net_open(&n->net, &opt);
}

/* What a choice depends on, beside the shape. */
static int name_machine(char *text, size_t bytes, int ordinal, const char *cudnn)
{
    struct gpu_info info;
    int driver, runtime;
    int ret = device_cuda_info(ordinal, &info);
    device_cuda_versions(&driver, &runtime);
    if (ret == 0)
        snprintf(text, bytes,
                 "%s, compute capability %d.%d, driver for CUDA %d.%d, cuDNN %s, "
                 "sparse-engine %s",
                 info.name, info.major, info.minor, driver / 1000, driver % 1000 / 10, cudnn,
                 SPARSE_VERSION);
    return ret;
}

/* The second way of a GPU's kernels, in fp32 alone. Where nobody asked for cuDNN, to be without it
 * is no error. */
static int open_choices(struct node *n, const struct config *c)
{
    char machine[512], cudnn[CUDNN_VERSION_BYTES], why[512];
    bool asked = c->conv_algo == CONV_CUDNN, source = !c->role->listens && !c->role->layers;
    if (strcmp(n->dev->ops->name, "cuda") != 0 || source || c->conv_algo == CONV_OWN ||
        c->math != MATH_FP32)
        return 0;
    int ret = device_cuda_cudnn(cudnn);
    if (ret == 0)
        ret = name_machine(machine, sizeof(machine), c->device_number, cudnn);
    if (ret == 0)
        ret = choices_open(&n->choices, asked ? NULL : c->data_dir, machine);
    if (ret == 0)
        ret = device_cuda_use_cudnn(n->dev, choices_book(n->choices));
    if (ret == 0 && asked)
        setup_say(c, "cuDNN %s computes what it can", cudnn);
    if (ret == 0)
        return 0;
    choices_close(n->choices);
    n->choices = NULL;
    if (ret == -ENOTSUP && !asked) {
        log_debug("cuda", "Own kernels compute convolutions: %s", err_text());
        return 0;
    }
    snprintf(why, sizeof(why), "%s", err_text());
    return err_set(-ret, "--conv-algo %s: %s; %s", asked ? "cudnn" : "auto", why,
                   asked ? "install cuDNN, or leave the option out" : "choose own");
}

int setup_node(struct node *n, const struct config *c, struct model *m)
{
    *n = (struct node){
        .model = m,
        .sgd = {.lr = c->lr, .momentum = c->momentum, .weight_decay = c->weight_decay},
        .input_timeout_ms = INPUT_TIMEOUT_MS,
        .answer_timeout_ms = ANSWER_TIMEOUT_MS,
    };
    int ret = setup_device(&n->dev, c);
    if (ret == 0)
        ret = open_choices(n, c);
    if (ret < 0 || (!c->role->listens && !c->role->upstream))
        return ret;
    return setup_not_words(open_net(n, c));
}

void setup_node_close(struct node *n)
{
    net_close(n->net);
    device_close(n->dev);
    choices_close(n->choices);
    n->choices = NULL;
    n->net = NULL;
    n->dev = NULL;
}

int setup_bind(struct node *n, const struct config *c)
{
    struct model *m = n->model;
    bool infers = c->command == CMD_INFER;
    int ret = infers ? model_bind(m, n->dev, RUN_EVAL, MODEL_GRADS_NONE)
                     : model_bind(m, n->dev, RUN_TRAIN, sgd_grads(&n->sgd, c->micro_batches));
    if (ret == 0 && m->to > m->from)
        ret = setup_weights(m, c);
    if (ret < 0)
        return setup_not_words(ret);
    if (m->to > m->from)
        setup_say(c, "%s %s model with %zu parameters using %s for processing",
                  infers ? "Running" : "Training", m->name, model_param_count(m, m->from, m->to),
                  n->dev->ops->name);
    return 0;
}
