/* The value of each option: a strict parser for each, and the original's names of models. */
#include "engine/config_words.h"

#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "engine/number.h"

enum { MAX_BATCH = 1 << 16, MAX_THREADS = 1024, MAX_IN_FLIGHT = 64 };
static const uint64_t MAX_COUNT = 1000000000;

/* The original's names: which model, which share. Its encoder and decoder units are --codec conv:1
 * here. */
static const struct {
    const char *name, *model;
    enum model_part part;
} model_alias[] = {
    {"VGG_unsplit", "vgg11", PART_WHOLE},    {"VGG_client", "vgg11", PART_FIRST},
    {"VGG_server", "vgg11", PART_LAST},      {"Small_unsplit", "small", PART_WHOLE},
    {"Small_client", "small", PART_FIRST},   {"Small_server", "small", PART_LAST},
    {"YOLOv3", "yolov3", PART_WHOLE},        {"YOLOv3_unsplit", "yolov3", PART_WHOLE},
    {"YOLOv3_client", "yolov3", PART_FIRST}, {"YOLOv3_local", "yolov3", PART_FIRST},
    {"YOLOv3_server", "yolov3", PART_LAST},
};

static const char *const datasets[] = {"auto",  "cifar10", "cifar100", "fashion-mnist",
                                       "mnist", "shapes",  NULL};
static const char *const conv_algos[] = {"auto", "own", "cudnn", NULL};
static const char *const maths[] = {"fp32", "tf32", "fp16", NULL}; /* as enum math */
static const char *const isas[] = {"auto", "avx512", "avx2", "neon", "plain", "reference", NULL};
static const char *const dtypes[] = {"f32", "f16", NULL};
static const char *const answers[] = {"boxes", "raw", NULL};
static const char *const transports[] = {"auto", "uring", "poll", NULL};

/* The number of `text` in a list; -EINVAL and a sentence with the list. */
static int choice(enum option o, const char *text, const char *const list[])
{
    char all[256] = "";
    for (int i = 0; list[i]; i++) {
        if (!strcmp(text, list[i]))
            return i;
        size_t used = strlen(all);
        snprintf(all + used, sizeof(all) - used, "%s%s", used ? ", " : "", list[i]);
    }
    return err_set(EINVAL, "--%s wants one of %s, there is \"%s\"", option_spec(o)->name, all,
                   text);
}

static int parse_model(struct config *c, const char *text)
{
    c->model = text;
    for (size_t i = 0; i < sizeof(model_alias) / sizeof(*model_alias); i++) {
        if (strcmp(text, model_alias[i].name))
            continue;
        c->model = model_alias[i].model;
        c->part = model_alias[i].part;
    }
    return *text ? 0 : err_set(EINVAL, "--model wants a name, there is \"\"");
}

/* "A:B", ":B", "A:", ":" */
static int parse_layers(struct config *c, const char *text)
{
    char first[16] = "";
    const char *colon = strchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof(first))
        return err_set(
            EINVAL, "--layers wants A:B, two layer numbers as inspect prints them, there is \"%s\"",
            text);
    memcpy(first, text, (size_t)(colon - text));
    if (*first && number_int(&c->from, "--layers A:B: A", first, 0, 100000) < 0)
        return -EINVAL;
    if (colon[1] && number_int(&c->to, "--layers A:B: B", colon + 1, 1, 100000) < 0)
        return -EINVAL;
    if (c->from >= 0 && c->to >= 0 && c->from >= c->to)
        return err_set(EINVAL,
                       "--layers %s holds no layer: A (included) must lie before B (not included)",
                       text);
    return 0;
}

static int parse_codec(struct config *c, const char *text)
{
    if (!strcmp(text, "none"))
        return 0;
    if (strncmp(text, "conv:", 5))
        return err_set(
            EINVAL,
            "--codec wants none or conv:F, F the factor that divides the channels, there is \"%s\"",
            text);
    return number_int(&c->codec, "--codec conv:F: F", text + 5, 1, 65536);
}

int config_device(struct config *c, const char *what, const char *text)
{
    char number[64];
    if (!strcmp(text, "auto")) {
        c->device = DEVICE_AUTO;
    } else if (!strcmp(text, "cpu")) {
        c->device = DEVICE_CPU;
    } else if (!strncmp(text, "cuda", 4) && (!text[4] || text[4] == ':')) {
        c->device = DEVICE_CUDA;
        snprintf(number, sizeof(number), "%s cuda:N: N", what);
        return text[4] ? number_int(&c->device_number, number, text + 5, 0, 255) : 0;
    } else {
        return err_set(EINVAL, "%s wants auto, cpu or cuda[:N], there is \"%s\"", what, text);
    }
    return 0;
}

/* What a file, a folder or a node is called: anything but "". */
static int parse_path(const char **out, enum option o, const char *text)
{
    if (!*text)
        return err_set(EINVAL, "--%s wants %s, there is \"\"", option_spec(o)->name,
                       option_spec(o)->arg);
    *out = text;
    return 0;
}

static int parse_choice(int *out, enum option o, const char *text, const char *const list[])
{
    int i = choice(o, text, list);
    if (i < 0)
        return i;
    *out = i;
    return 0;
}

/* "ADDR:PORT", "[ADDR]:PORT"; ":PORT" and "PORT": of this machine. */
static int parse_http(struct config *c, const char *text)
{
    struct address *a = &c->http;
    int ret;
    if (*text && strspn(text, "0123456789") == strlen(text))
        ret = number_int(&a->port, "--http", text, 0, 65535);
    else
        ret = address_parse(a, "--http", text, 0);
    if (ret == 0 && a->port < 0)
        return err_set(EINVAL, "--http wants ADDR:PORT or PORT, there is \"%s\"", text);
    if (!*a->host)
        strcpy(a->host, "127.0.0.1");
    return ret;
}

/* Options of training and of the monitor, and their numbers. */
static int parse_training(struct config *c, enum option o, const char *text)
{
    switch (o) {
    case OPT_BATCHES:
        return number_u64(&c->batches, "--batches", text, 0, MAX_COUNT);
    case OPT_EPOCHS:
        return number_u64(&c->epochs, "--epochs", text, 1, MAX_COUNT);
    case OPT_LR:
        return number_float(&c->lr, "--lr", text, 0, FLT_MAX);
    case OPT_MOMENTUM:
        return number_float(&c->momentum, "--momentum", text, 0, 1);
    case OPT_WEIGHT_DECAY:
        return number_float(&c->weight_decay, "--weight-decay", text, 0, FLT_MAX);
    case OPT_DROPOUT:
        return number_float(&c->dropout, "--dropout", text, 0, 1);
    case OPT_SHUFFLE:
        c->shuffle = true;
        return 0;
    case OPT_MICRO_BATCHES:
        return number_int(&c->micro_batches, "--micro-batches", text, 1, MAX_BATCH);
    case OPT_LOG:
        return parse_path(&c->log, o, text);
    case OPT_RATE:
        return number_float(&c->rate, "--rate", text, 0.01f, 1001);
    case OPT_TIMEOUT:
        return number_float(&c->timeout, "--timeout", text, 0.1f, 1e8f);
    case OPT_INTERFACE:
        return parse_path(&c->interface, o, text);
    case OPT_HTTP:
        return parse_http(c, text);
    default:
        CHECK(!"an option that nobody parses");
    }
}

/* Options of detectors. */
static int parse_detection(struct config *c, enum option o, const char *text)
{
    int i = 0, ret;
    switch (o) {
    case OPT_ANSWER:
        ret = parse_choice(&i, o, text, answers);
        c->answer_raw = i;
        return ret;
    case OPT_IMAGES:
        return *text ? 0 : err_set(EINVAL, "--images wants FILE|DIR, there is \"\"");
    case OPT_CONF:
        return number_float(&c->conf, "--conf", text, 0, 1);
    case OPT_NMS:
        return number_float(&c->nms, "--nms", text, 0, 1);
    case OPT_SAVE_DETECTIONS:
        return parse_path(&c->save_detections, o, text);
    case OPT_LETTERBOX:
        c->letterbox = true;
        return 0;
    default:
        return parse_training(c, o, text);
    }
}

/* Options of a node among others. */
static int parse_network(struct config *c, enum option o, const char *text)
{
    int i = 0, ret;
    switch (o) {
    case OPT_WIRE_DTYPE:
        ret = parse_choice(&i, o, text, dtypes);
        c->wire_dtype = i ? DTYPE_F16 : DTYPE_F32;
        return ret;
    case OPT_TRANSPORT:
        ret = parse_choice(&i, o, text, transports);
        c->transport = (enum transport)i;
        return ret;
    case OPT_UPSTREAM:
        return address_parse(&c->upstream, "--upstream", text, 1);
    case OPT_LISTEN:
        return address_parse(&c->listen, "--listen", text, 0);
    case OPT_NO_FOLD:
        c->unfolded = true;
        return 0;
    case OPT_NO_MONITOR:
        c->monitor = false;
        return 0;
    case OPT_NODE_NAME:
        return parse_path(&c->node_name, o, text);
    case OPT_IN_FLIGHT:
        return number_int(&c->in_flight, "--in-flight", text, 1, MAX_IN_FLIGHT);
    default:
        return parse_detection(c, o, text);
    }
}

int config_word(struct config *c, enum option o, const char *text)
{
    int i = 0, ret;
    switch (o) {
    case OPT_ROLE:
        return 0; /* read before the others: they depend on it */
    case OPT_MODEL:
        return parse_model(c, text);
    case OPT_LAYERS:
        return parse_layers(c, text);
    case OPT_CODEC:
        return parse_codec(c, text);
    case OPT_DATASET:
        ret = parse_choice(&i, o, text, datasets);
        c->dataset = datasets[i];
        return ret;
    case OPT_DATA_DIR:
        return parse_path(&c->data_dir, o, text);
    case OPT_BATCH_SIZE:
        return number_int(&c->batch_size, "--batch-size", text, 1, MAX_BATCH);
    case OPT_SEED:
        return number_u64(&c->seed, "--seed", text, 0, UINT64_MAX);
    case OPT_WEIGHTS:
        return parse_path(&c->weights, o, text);
    case OPT_SAVE:
        return parse_path(&c->save, o, text);
    case OPT_OUTPUT:
        return parse_path(&c->output, o, text);
    case OPT_DEVICE:
        return config_device(c, "--device", text);
    case OPT_THREADS:
        return number_int(&c->threads, "--threads", text, 0, MAX_THREADS);
    case OPT_ISA:
        ret = parse_choice(&i, o, text, isas);
        c->isa = isas[i];
        return ret;
    case OPT_CONV_ALGO:
        ret = parse_choice(&i, o, text, conv_algos);
        c->conv_algo = (enum conv_algo)i;
        return ret;
    case OPT_MATH:
        ret = parse_choice(&i, o, text, maths);
        c->math = (enum math)i;
        return ret;
    case OPT_INFERENCES:
        return number_u64(&c->inferences, "--inferences", text, 0, MAX_COUNT);
    case OPT_JSON:
        c->json = true;
        return 0;
    case OPT_QUIET:
        c->quiet = true;
        return 0;
    case OPT_VERBOSE:
        c->verbose = true;
        return 0;
    case OPT_ENV_FILE:
        return *text ? 0 : err_set(EINVAL, "--env-file wants FILE, there is \"\"");
    default:
        return parse_network(c, o, text);
    }
}
