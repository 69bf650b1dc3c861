/* The file of choices: read once, then again under a lock before anything is measured. */
#include "engine/choices.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "models/file_out.h"
#include "monitor/csv.h"

enum { PATH_BYTES = 1024, NEWS_BYTES = PATH_BYTES + 256, LOCK_WAITS = 3000, LOCK_WAIT_MS = 20 };

static const char file_name[] = "cudnn-choices.json";
static const char format[] = "sparse-engine choices 1";
static const char *const way_name[] = {"own", "cudnn"};

struct choices {
    struct choice_book book; /* first */
    char folder[PATH_BYTES], path[PATH_BYTES], lock_path[PATH_BYTES + 8];
    char machine[512];
    json_t *all; /* the file as it was read or written last; NULL: none */
    int lock;    /* -1: not held */
    bool told_unkept, told_broken;
    struct gpu_choices last[GPU_WORK_COUNT];
    char news[NEWS_BYTES];
};

static void warn_unkept(struct choices *c, const char *why)
{
    if (!c->told_unkept)
        log_warning("choices",
                    "What is measured of own kernels and cuDNN is not kept, other runs may choose "
                    "otherwise and differ in last bits (--conv-algo own makes all alike): %s",
                    why);
    c->told_unkept = true;
}

static void warn_broken(struct choices *c, const char *why)
{
    if (!c->told_broken)
        log_warning("choices", "%s is not what this program wrote there, it is measured anew: %s",
                    c->path, why);
    c->told_broken = true;
}

/* The machines' object of what was read, or NULL. */
static json_t *machines_of(json_t *all)
{
    const char *is = json_string_value(json_object_get(all, "format"));
    json_t *machines = json_object_get(all, "choices");
    return is && !strcmp(is, format) && json_is_object(machines) ? machines : NULL;
}

static void read_file(struct choices *c)
{
    json_error_t error;
    json_decref(c->all);
    c->all = json_load_file(c->path, JSON_REJECT_DUPLICATES, &error);
    if (!c->all && access(c->path, F_OK) < 0)
        return; /* no file yet, or no folder: that is told of when it is written */
    if (!c->all)
        warn_broken(c, error.text);
    else if (!machines_of(c->all))
        warn_broken(c, "no \"format\": \"sparse-engine choices 1\" with \"choices\"");
}

/* 0, 1, or -1: not known. */
static int look_up(struct choices *c, const char *key)
{
    json_t *machine = json_object_get(machines_of(c->all), c->machine);
    json_t *entry = json_object_get(machine, key);
    const char *take = json_string_value(json_object_get(entry, "take"));
    for (int way = 0; take && way < 2; way++)
        if (!strcmp(take, way_name[way]))
            return way;
    if (entry || (machine && !json_is_object(machine)))
        warn_broken(c, "an entry that takes neither \"own\" nor \"cudnn\"");
    return -1;
}

static void unlock(struct choices *c)
{
    if (c->lock >= 0)
        close(c->lock);
    c->lock = -1;
}

/* -errno and a sentence where it cannot be had: another process may keep it for the time that it
 * measures one shape, not longer. */
static int lock(struct choices *c)
{
    int ret = csv_make_folders(c->folder);
    if (ret < 0)
        return ret;
    c->lock = open(c->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (c->lock < 0)
        return err_set(errno, "cannot write %s: %s", c->lock_path, strerror(errno));
    for (int i = 0; ret == 0 && i < LOCK_WAITS; i++) {
        if (flock(c->lock, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            ret = err_set(errno, "cannot lock %s: %s", c->lock_path, strerror(errno));
        nanosleep(&(struct timespec){.tv_nsec = LOCK_WAIT_MS * 1000000L}, NULL);
    }
    if (ret == 0)
        ret = err_set(ETIMEDOUT, "another process has held %s for a minute", c->lock_path);
    unlock(c);
    return ret;
}

static int find(struct choice_book *b, const char *key)
{
    struct choices *c = (struct choices *)b;
    int way = look_up(c, key);
    if (way >= 0)
        return way;
    if (lock(c) < 0)
        warn_unkept(c, err_text());
    read_file(c);
    way = look_up(c, key);
    if (way >= 0)
        unlock(c);
    return way;
}

/* Milliseconds, four digits; null where nothing was measured. */
static json_t *ms_json(double ms)
{
    char text[32];
    snprintf(text, sizeof(text), "%.4g", ms);
    return ms < 0 ? json_null() : json_real(atof(text));
}

/* The entry into c->all, with what it stands in. */
static int put(struct choices *c, const char *key, int way, const double ms[2])
{
    if (!machines_of(c->all)) {
        json_decref(c->all);
        c->all = json_pack("{s:s,s:{}}", "format", format, "choices");
    }
    json_t *machines = machines_of(c->all), *machine = json_object_get(machines, c->machine);
    if (!json_is_object(machine)) {
        machine = json_object();
        if (json_object_set_new(machines, c->machine, machine) < 0)
            return -1;
    }
    json_t *entry = json_pack("{s:s,s:o,s:o}", "take", way_name[way], "own_ms", ms_json(ms[0]),
                              "cudnn_ms", ms_json(ms[1]));
    return json_object_set_new(machine, key, entry);
}

static int write_file(const struct choices *c)
{
    char *text = json_dumps(c->all, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    if (!text)
        return err_set(ENOMEM, "no memory to write %s", c->path);
    struct file_out f = FILE_OUT_NONE;
    int ret = file_out_begin(&f, c->path);
    if (ret == 0)
        ret = file_out_write(&f, text, strlen(text));
    if (ret == 0)
        ret = file_out_write(&f, "\n", 1);
    if (ret == 0)
        ret = file_out_commit(&f);
    file_out_close(&f);
    free(text);
    return ret;
}

static void keep(struct choice_book *b, const char *key, int second, const double ms[2])
{
    struct choices *c = (struct choices *)b;
    int ret = put(c, key, second, ms) < 0 ? err_set(ENOMEM, "no memory for what was measured") : 0;
    if (ret == 0 && c->lock >= 0)
        ret = write_file(c);
    if (ret < 0)
        warn_unkept(c, err_text());
    unlock(c);
}

int choices_open(struct choices **out, const char *data_dir, const char *machine)
{
    struct choices *c = *out = calloc(1, sizeof(*c));
    if (!c)
        return err_set(ENOMEM, "no memory for choices between kernels");
    c->book = (struct choice_book){find, keep};
    c->lock = -1;
    snprintf(c->machine, sizeof(c->machine), "%s", machine);
    if (!data_dir)
        return 0;
    int n = snprintf(c->path, sizeof(c->path), "%s/%s", data_dir, file_name);
    if (n < 0 || (size_t)n >= sizeof(c->path)) {
        choices_close(c);
        *out = NULL;
        return err_set(ENAMETOOLONG, "the data directory %s has too long a name", data_dir);
    }
    snprintf(c->folder, sizeof(c->folder), "%s", data_dir);
    snprintf(c->lock_path, sizeof(c->lock_path), "%s.lock", c->path);
    read_file(c);
    return 0;
}

void choices_close(struct choices *c)
{
    if (!c)
        return;
    unlock(c);
    json_decref(c->all);
    free(c);
}

struct choice_book *choices_book(struct choices *c)
{
    return *c->path ? &c->book : NULL;
}

const char *choices_news(struct choices *c, const struct device *d)
{
    static const char *const work[GPU_WORK_COUNT] = {"convolutions", "pools", "batch-norms"};
    struct gpu_choices now[GPU_WORK_COUNT];
    if (!c)
        return NULL;
    device_cuda_choices(d, now);
    if (!memcmp(now, c->last, sizeof(now)))
        return NULL;
    memcpy(c->last, now, sizeof(now));
    size_t used = 0;
    for (int i = 0; i < GPU_WORK_COUNT; i++)
        if (now[i].own || now[i].cudnn)
            used +=
                (size_t)snprintf(c->news + used, sizeof(c->news) - used, "%s%s: own %d, cuDNN %d",
                                 used ? "; " : "", work[i], now[i].own, now[i].cudnn);
    c->news[0] -= 'a' - 'A';
    if (*c->path)
        snprintf(c->news + used, sizeof(c->news) - used, " (choices in %s)", c->path);
    return c->news;
}
