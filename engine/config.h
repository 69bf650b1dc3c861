/*
 * What a call means: every option of it as a number, a name or a file, in the order of precedence
 * flag, environment, dotenv file, default. Checked strictly as far as words alone can be; what
 * needs the model, the data or a file is checked by the command, before its run starts.
 *
 *     struct config c;
 *     int ret = config_read(&c, &words);
 *     if (ret < 0) return config_exit_status(ret) ...
 *     config_close(&c);
 */
#ifndef ENGINE_CONFIG_H
#define ENGINE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/address.h"
#include "engine/dotenv.h"
#include "engine/options.h"
#include "engine/roles.h"
#include "kernels/device.h"
#include "kernels/tensor.h"

/* Which share of its model a name of the original's asks for. */
enum model_part { PART_UNSAID, PART_WHOLE, PART_FIRST, PART_LAST };

enum transport { TRANSPORT_AUTO, TRANSPORT_URING, TRANSPORT_POLL };

enum device_kind { DEVICE_AUTO, DEVICE_CPU, DEVICE_CUDA };

/* auto: each the faster of the two, as it was measured. */
enum conv_algo { CONV_AUTO, CONV_OWN, CONV_CUDNN };

enum { CONFIG_MAX_DOTENV = 2 };

struct config {
    enum command command;
    const struct role *role;
    const char *model; /* NULL: not given and no default */
    enum model_part part;
    int from, to; /* of --layers; -1 where left out */
    int codec;    /* channels divided by it; 0: none */
    enum dtype wire_dtype;
    const char *dataset, *data_dir;
    int batch_size;
    uint64_t batches, epochs; /* batches 0: the whole data set */
    float lr, momentum, weight_decay, dropout;
    bool shuffle;
    uint64_t seed;
    int micro_batches;
    const char *weights, *save, *log; /* NULL: not given */
    enum device_kind device;
    int device_number; /* of cuda */
    int threads;       /* 0: all cores */
    const char *isa;
    enum conv_algo conv_algo;        /* what computes a GPU's convolutions */
    enum math math;                  /* of a GPU's products */
    struct address upstream, listen; /* filled where the role has one */
    enum transport transport;
    uint64_t inferences;         /* 0: the test split once */
    int in_flight;               /* requests under way at once */
    bool answer_raw;             /* the last node sends raw predictions, not boxes */
    float conf, nms;             /* limits of detections */
    const char *save_detections; /* folder; NULL: not given */
    bool letterbox;
    bool json;
    const char *output;    /* NULL: not given */
    bool unfolded;         /* of --no-fold */
    float rate, timeout;   /* of the monitor: samples a second, seconds */
    const char *interface; /* NULL: all of them */
    struct address http;   /* port -1: off */
    const char *node_name; /* NULL: the host's */
    bool quiet, verbose, monitor;
    const char *const *part_file; /* the operands: merge's parts, infer's pictures */
    int npart_file;

    uint64_t started_ns; /* when the call was read, milliseconds after exec */
    struct words words;  /* what was given: config_given */
    struct dotenv dotenv[CONFIG_MAX_DOTENV];
    int ndotenv;
};

/*
 * Strings of `words` are kept, not copied: argv must outlive the config. -EINVAL and a sentence
 * where the words are off; any other error (a dotenv file that cannot be read, a bad value in the
 * environment) is not the words' fault.
 */
int config_read(struct config *c, const struct words *w);
void config_close(struct config *c); /* also after config_read failed */

/* 2 where config_read said that the words are off, else 1. */
int config_exit_status(int ret);

/* True if the call itself gave this option: a worker compares such a value with its upstream's. */
bool config_given(const struct config *c, enum option o);

#endif
