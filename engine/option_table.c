/* The one table of options and of subcommands. A new option is a line here and one in
 * config_words.c. */
#include "engine/options.h"

#include <stddef.h>

enum {
    TRAIN = 1u << CMD_TRAIN,
    INFER = 1u << CMD_INFER,
    MONITOR = 1u << CMD_MONITOR,
    INSPECT = 1u << CMD_INSPECT,
    INIT = 1u << CMD_INIT,
    CONVERT = 1u << CMD_CONVERT,
    MERGE = 1u << CMD_MERGE,
    DOCTOR = 1u << CMD_DOCTOR,
    RUNS = TRAIN | INFER,
    ALL = RUNS | MONITOR | INSPECT | INIT | CONVERT | MERGE | DOCTOR,
};

/* clang-format off */
static const struct option_spec specs[OPT_COUNT] = {
    [OPT_ROLE] = {"role", {"suite"}, "NAME", RUNS, 0,
        "aio (default), source, client, intermediate or final; the original's offload_* too"},
    [OPT_MODEL] = {"model", {"model-name"}, "M", RUNS | INSPECT | INIT | CONVERT, 0,
        "small, vgg11 (default of train), vgg16, vgg19, yolov3, yolov3-tiny, shapes-yolo, or a "
        "path to a darknet .cfg (detectors are not trained here); the original's names too: "
        "VGG_unsplit, VGG_client, VGG_server, Small_unsplit, Small_client, Small_server"},
    [OPT_LAYERS] = {"layers", {0}, "A:B", RUNS, 0,
        "this node runs layers A (included) to B (not), numbered as inspect prints them; "
        "either may be left out; default: by role, cut at the model's default cut"},
    [OPT_CODEC] = {"codec", {0}, "none|conv:F", RUNS | INSPECT | INIT, 0,
        "encoder and decoder units around the default cut, channels divided by F (none)"},
    [OPT_WIRE_DTYPE] = {"wire-dtype", {0}, "f32|f16", RUNS, NEEDS_NEIGHBOUR,
        "what crosses the wire (f32)"},
    [OPT_DATASET] = {"dataset", {0}, "D", RUNS, 0,
        "cifar10, cifar100, fashion-mnist, mnist or shapes (embedded); auto (default): the "
        "model's own where it is found, else shapes, and says so"},
    [OPT_DATA_DIR] = {"data-dir", {0}, "DIR", RUNS | MONITOR, 0,
        "data sets, statistics and run files ($SPARSE_DATA_DIR, else ./data)"},
    [OPT_BATCH_SIZE] = {"batch-size", {0}, "N", RUNS | INSPECT, 0, "samples a batch (64)"},
    [OPT_BATCHES] = {"batches", {0}, "N", TRAIN, 0,
        "batches an epoch; 0: all of the data set (64)"},
    [OPT_EPOCHS] = {"epochs", {0}, "N", TRAIN, 0, "times through the batches (1)"},
    [OPT_LR] = {"lr", {0}, "X", TRAIN, 0, "learning rate of SGD (1e-3)"},
    [OPT_MOMENTUM] = {"momentum", {0}, "X", TRAIN, 0, "as PyTorch's SGD defines it (0)"},
    [OPT_WEIGHT_DECAY] = {"weight-decay", {0}, "X", TRAIN, 0, "as PyTorch's SGD defines it (0)"},
    [OPT_DROPOUT] = {"dropout", {0}, "P", TRAIN, 0, "of the VGG models; 0 turns it off (0.5)"},
    [OPT_SHUFFLE] = {"shuffle", {0}, NULL, TRAIN, 0,
        "a new order each epoch; default: in reading order"},
    [OPT_SEED] = {"seed", {0}, "S", RUNS | INIT | CONVERT, 0,
        "of fresh weights, dropout, shuffling, the data set shapes, the scenes of shapes-yolo (1)"},
    [OPT_MICRO_BATCHES] = {"micro-batches", {0}, "K", TRAIN, 0,
        "parts that a batch is worked in; the gradients add up to the full batch's (1)"},
    [OPT_WEIGHTS] = {"weights", {0}, "FILE", RUNS, 0,
        "start from these (.safetensors, or .weights of darknet) instead of fresh weights; "
        "shapes-yolo comes with its own"},
    [OPT_SAVE] = {"save", {0}, "FILE", TRAIN | INIT | MERGE, 0,
        "write the weights here (.safetensors, or .weights for darknet models)"},
    [OPT_LOG] = {"log", {0}, "FILE", TRAIN, 0,
        "CSV \"step,loss\", one row a step, the first step is 1"},
    [OPT_DEVICE] = {"device", {0}, "auto|cpu|cuda[:N]", RUNS | INIT, 0,
        "($SPARSE_DEVICE, else auto) auto says what it took; a device that cannot be had is an "
        "error"},
    [OPT_THREADS] = {"threads", {0}, "N", RUNS | INIT, 0,
        "of the CPU backend; 0 (default): one a core"},
    [OPT_ISA] = {"isa", {0}, "auto|avx512|avx2|neon|plain", RUNS | INIT, 0,
        "instruction set of the CPU backend; auto (default): the best here"},
    [OPT_CONV_ALGO] = {"conv-algo", {0}, "auto|own|cudnn", RUNS, 0,
        "what computes a GPU's convolutions, pools and batch-norm: the program's own kernels, "
        "NVIDIA's cuDNN, or auto (default), each the faster one where cuDNN is installed, as it "
        "was measured once and kept in DATA_DIR/cudnn-choices.json"},
    [OPT_MATH] = {"math", {0}, "fp32|tf32|fp16", RUNS, 0,
        "what a GPU multiplies in: fp32 (default), or by tensor cores in tf32 or fp16, less exact, "
        "summed in fp32, by own kernels; each node has its own"},
    [OPT_UPSTREAM] = {"upstream", {0}, "HOST:PORT", RUNS, NEEDS_UPSTREAM,
        "($MASTER_UPSTREAM_HOST:$MASTER_UPSTREAM_PORT, else 127.0.0.1:50007)"},
    [OPT_LISTEN] = {"listen", {0}, "ADDR:PORT", RUNS, NEEDS_LISTENER,
        "($WORKER_LISTEN_ADDRESS:$WORKER_LISTEN_PORT, else 127.0.0.1:50007)"},
    [OPT_TRANSPORT] = {"transport", {0}, "auto|uring|poll", RUNS, NEEDS_NEIGHBOUR,
        "auto (default): io_uring where the kernel allows it"},
    [OPT_INFERENCES] = {"inferences", {"inferences-to-be-run"}, "N", INFER, NEEDS_DATA,
        "requests, each a picture for a detector, else a batch of the test split, in order; 0: all "
        "of it once (100)"},
    [OPT_IN_FLIGHT] = {"in-flight", {0}, "N", INFER, NEEDS_NEIGHBOUR,
        "requests under way at once over a split (1)"},
    [OPT_ANSWER] = {"answer", {0}, "boxes|raw", INFER, NEEDS_DATA,
        "what the last node of a split sends back for a detector (boxes)"},
    [OPT_IMAGES] = {"images", {0}, "FILE|DIR", INFER, NEEDS_DATA,
        "pictures to detect on, JPEG or PNG, several may follow; again from the first where more "
        "are asked for; default: DATA_DIR/samples, else those of Debian's package darknet, "
        "else, and of shapes-yolo, scenes that are drawn"},
    [OPT_CONF] = {"conf", {0}, "X", INFER, NEEDS_DATA, "objectness of a detection at least (0.95)"},
    [OPT_NMS] = {"nms", {0}, "X", INFER, NEEDS_DATA,
        "overlap above which boxes of a class are one (0.3)"},
    [OPT_SAVE_DETECTIONS] = {"save-detections", {0}, "DIR", INFER, NEEDS_DATA,
        "pictures with boxes and labels, NAME_detected.png"},
    [OPT_LETTERBOX] = {"letterbox", {0}, NULL, INFER, NEEDS_DATA,
        "keep a picture's ratio of sides, as darknet does; default: stretched, as the original"},
    [OPT_JSON] = {"json", {0}, NULL, INFER | INSPECT | DOCTOR, NEEDS_DATA, "results as JSON"},
    [OPT_OUTPUT] = {"output", {0}, "FILE", INFER, NEEDS_DATA,
        "raw predictions as .safetensors: \"predictions\", (N, classes), before the softmax, "
        "or of a detector (N, boxes, 5 + classes)"},
    [OPT_RATE] = {"rate", {0}, "HZ", MONITOR, 0, "samples a second (2)"},
    [OPT_TIMEOUT] = {"timeout", {0}, "S", MONITOR, 0,
        "a run ends so many seconds after its last message (30)"},
    [OPT_INTERFACE] = {"interface", {0}, "NIC", MONITOR, 0,
        "count the bytes of this network interface; default: of all"},
    [OPT_HTTP] = {"http", {0}, "ADDR:PORT", MONITOR, 0,
        "serve a page with live charts, /api/runs as JSON and /metrics for Prometheus; PORT alone: "
        "for this machine only; default: off"},
    [OPT_ENV_FILE] = {"env-file", {0}, "FILE", RUNS | MONITOR, 0,
        "dotenv file (./.env, then DATA_DIR/.env); never overrides the environment"},
    [OPT_QUIET] = {"quiet", {0}, NULL, RUNS | MONITOR, 0, "results and errors only"},
    [OPT_VERBOSE] = {"verbose", {0}, NULL, RUNS | MONITOR, 0, "debug messages too"},
    [OPT_NO_FOLD] = {"no-fold", {0}, NULL, RUNS, 0,
        "VGG: the first linear layer in full, in PyTorch's order of summation, instead of once for "
        "its 49 equal inputs"},
    [OPT_NO_MONITOR] = {"no-monitor", {0}, NULL, RUNS, 0, "send no statistics to a monitor"},
    [OPT_NODE_NAME] = {"node-name", {"benchmark-node-name"}, "NAME", RUNS, 0,
        "what statistics call this node (the host's name)"},
    [OPT_HELP] = {"help", {0}, NULL, ALL, 0, "print this and exit"},
};
/* clang-format on */

/* Where infer says something else. */
static const char *const infer_help[OPT_COUNT] = {
    [OPT_MODEL] =
        "yolov3 (default), yolov3-tiny, shapes-yolo (small, with its own weights and "
        "pictures: try it first), a path to a darknet .cfg, small, vgg11, vgg16 or vgg19; "
        "the original's names too: YOLOv3, YOLOv3_local, YOLOv3_server, VGG_*",
};

static const struct {
    const char *name, *summary, *operands;
} commands[CMD_COUNT] = {
    [CMD_TRAIN] = {"train", "train a model, whole or split over several machines", ""},
    [CMD_INFER] = {"infer", "run a trained model on pictures or the test split", " [PICTURE...]"},
    [CMD_MONITOR] = {"monitor", "write the statistics of the runs on this machine", ""},
    [CMD_INSPECT] = {"inspect", "layers, shapes, parameters, FLOPs, bytes across each cut", ""},
    [CMD_INIT] = {"init", "write fresh weights", ""},
    [CMD_CONVERT] = {"convert", "weights between .safetensors and darknet's .weights", " IN OUT"},
    [CMD_MERGE] = {"merge", "parts saved by several nodes into one file", " PART..."},
    [CMD_DOCTOR] = {"doctor", "what this machine offers", ""},
};

const struct option_spec *option_spec(enum option o)
{
    return &specs[o];
}

const char *option_help(enum option o, enum command c)
{
    return c == CMD_INFER && infer_help[o] ? infer_help[o] : specs[o].help;
}

const char *command_name(enum command c)
{
    return commands[c].name;
}

const char *command_summary(enum command c)
{
    return commands[c].summary;
}

const char *command_operands(enum command c)
{
    return commands[c].operands;
}
