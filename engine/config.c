/* Defaults, then each option that was given, then the environment and the dotenv files for what is
 * left. */
#include "engine/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/config_words.h"
#include "engine/number.h"

/* The error of a bad value in the environment: not the words' fault, so not EINVAL. */
enum { ENVIRONMENT_OFF = EBADMSG };

static int check_needs(const struct config *c, enum option o)
{
    static const char *const lacks[] = {"", "no upstream", "no listener", "no neighbour",
                                        "no data to read"};
    const struct option_spec *s = option_spec(o);
    const struct role *r = c->role;
    bool has[] = {true, r->upstream, r->listens, r->upstream || r->listens, r->reads_data};
    if (has[s->needs])
        return 0;
    return err_set(EINVAL, "role %s has %s, there is --%s: leave it out, or choose another --role",
                   r->name, lacks[s->needs], s->name);
}

static int check_together(const struct config *c)
{
    if (c->quiet && c->verbose)
        return err_set(EINVAL, "--quiet and --verbose are both there: give one of them");
    if (c->micro_batches > c->batch_size)
        return err_set(
            EINVAL, "--micro-batches %d parts of a batch of %d samples: give at most --batch-size",
            c->micro_batches, c->batch_size);
    if (c->command == CMD_INFER && c->npart_file && !c->role->reads_data)
        return err_set(EINVAL, "role %s has no data to read, there is \"%s\": leave it out",
                       c->role->name, c->part_file[0]);
    if (c->conv_algo == CONV_CUDNN && c->math != MATH_FP32)
        return err_set(EINVAL,
                       "--conv-algo cudnn computes in fp32 alone, there is --math %s: leave one of "
                       "them out",
                       math_name(c->math));
    if (c->save && c->log && !strcmp(c->save, c->log))
        return err_set(EINVAL, "--save and --log both name %s: give two files", c->save);
    if (c->part != PART_UNSAID && config_given(c, OPT_LAYERS))
        return err_set(
            EINVAL,
            "--model %s says which layers, and so does --layers: give --model %s with --layers",
            c->words.value[OPT_MODEL], c->model);
    return 0;
}

static int read_words(struct config *c)
{
    const char *role = c->words.value[OPT_ROLE];
    if (role && !(c->role = role_find(role)))
        return err_set(
            EINVAL, "--role wants one of aio, source, client, intermediate, final, there is \"%s\"",
            role);
    for (int o = 0; o < OPT_COUNT; o++) {
        if (!c->words.value[o])
            continue;
        int ret = check_needs(c, (enum option)o);
        if (!ret)
            ret = config_word(c, (enum option)o, c->words.value[o]);
        if (ret < 0)
            return ret;
    }
    return check_together(c);
}

/* A variable of the environment, else of the dotenv files in order; NULL where all leave it unset
 * or empty. *where is told which. */
static const char *variable(const struct config *c, const char *name, const char **where)
{
    const char *v = getenv(name);
    *where = "the environment";
    for (int i = 0; (!v || !*v) && i < c->ndotenv; i++) {
        v = dotenv_get(&c->dotenv[i], name);
        *where = "the dotenv file";
    }
    return v && *v ? v : NULL;
}

/* A file that the call named must be there; the usual ones need not. */
static int read_dotenv(struct config *c, const char *path, bool must)
{
    CHECK(c->ndotenv < CONFIG_MAX_DOTENV);
    int ret = dotenv_read(&c->dotenv[c->ndotenv], path);
    if (!ret)
        c->ndotenv++;
    else if (!must && (ret == -ENOENT || ret == -ENOTDIR))
        ret = 0;
    return ret == -EINVAL ? -ENVIRONMENT_OFF : ret;
}

static const char *data_dir(const struct config *c)
{
    const char *where,
        *v = config_given(c, OPT_DATA_DIR) ? c->data_dir : variable(c, "SPARSE_DATA_DIR", &where);
    return v ? v : "./data";
}

static int read_files(struct config *c)
{
    const char *named = c->words.value[OPT_ENV_FILE];
    int ret = read_dotenv(c, named ? named : ".env", named != NULL);
    if (!ret && !named) {
        char path[4096];
        int length = snprintf(path, sizeof(path), "%s/.env", data_dir(c));
        if (length >= (int)sizeof(path))
            return err_set(
                ENAMETOOLONG,
                "the data folder's name is longer than %zu characters: give a shorter one",
                sizeof(path) - 6);
        ret = read_dotenv(c, path, false);
    }
    c->data_dir = data_dir(c);
    return ret;
}

static int read_address(const struct config *c, struct address *a, const char *host,
                        const char *port, uint64_t min)
{
    const char *where, *v = variable(c, host, &where);
    if (v && !*a->host) {
        if (strlen(v) >= sizeof(a->host))
            return err_set(ENVIRONMENT_OFF, "%s in %s is longer than a host's name can be: \"%s\"",
                           host, where, v);
        strcpy(a->host, v);
    }
    v = variable(c, port, &where);
    if (v && a->port < 0) {
        char what[128];
        snprintf(what, sizeof(what), "%s in %s", port, where);
        if (number_int(&a->port, what, v, (int)min, 65535) < 0)
            return -ENVIRONMENT_OFF;
    }
    if (!*a->host)
        strcpy(a->host, "127.0.0.1");
    if (a->port < 0)
        a->port = 50007;
    return 0;
}

/* Options of the CPU's backend count for more than a variable that names another device. */
static int read_device(struct config *c)
{
    const char *where, *v = variable(c, "SPARSE_DEVICE", &where);
    if (!v || config_given(c, OPT_DEVICE) || config_given(c, OPT_ISA) ||
        config_given(c, OPT_THREADS))
        return 0;
    char what[64];
    snprintf(what, sizeof(what), "SPARSE_DEVICE in %s", where);
    return config_device(c, what, v) < 0 ? -ENVIRONMENT_OFF : 0;
}

int config_read(struct config *c, const struct words *w)
{
    *c = (struct config){
        .command = w->command,
        .role = role_find("aio"),
        .model = w->command == CMD_TRAIN   ? "vgg11"
                 : w->command == CMD_INFER ? "yolov3"
                                           : NULL,
        .from = -1,
        .to = -1,
        .dataset = "auto",
        .data_dir = "./data",
        .batch_size = 64,
        .batches = 64,
        .epochs = 1,
        .lr = 1e-3f,
        .dropout = 0.5f,
        .seed = 1,
        .micro_batches = 1,
        .isa = "auto",
        .upstream = {.port = -1},
        .listen = {.port = -1},
        .http = {.port = -1},
        .inferences = 100,
        .in_flight = 1,
        .conf = 0.95f,
        .nms = 0.3f,
        .rate = 2,
        .timeout = 30,
        .monitor = true,
        .part_file = (const char *const *)w->operand,
        .npart_file = w->noperand,
        .words = *w,
        .started_ns = clock_now_ns(),
    };
    int ret = read_words(c);
    if (!ret && option_spec(OPT_DATA_DIR)->commands & 1u << w->command)
        ret = read_files(c);
    if (!ret && option_spec(OPT_DEVICE)->commands & 1u << w->command)
        ret = read_device(c);
    if (!ret && c->role->upstream)
        ret = read_address(c, &c->upstream, "MASTER_UPSTREAM_HOST", "MASTER_UPSTREAM_PORT", 1);
    if (!ret && c->role->listens)
        ret = read_address(c, &c->listen, "WORKER_LISTEN_ADDRESS", "WORKER_LISTEN_PORT", 0);
    return ret;
}

void config_close(struct config *c)
{
    for (int i = 0; i < c->ndotenv; i++)
        dotenv_close(&c->dotenv[i]);
    c->ndotenv = 0;
}

int config_exit_status(int ret)
{
    return ret == -EINVAL ? 2 : 1;
}

bool config_given(const struct config *c, enum option o)
{
    return c->words.value[o] != NULL;
}
