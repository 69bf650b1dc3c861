/* Events as JSON, read with jansson. Ids and prefixes have no character that JSON escapes. */
#include "monitor/event.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

static const char *const kind_name[EVENT_KIND_COUNT] = {
    [EVENT_START] = "start",
    [EVENT_BATCH] = "batch_processed",
    [EVENT_TASK] = "task_processed",
    [EVENT_STOP] = "stop",
};
static const char later_stop[] = "stop_benchmark"; /* the original's word in later versions */

static const char *const part_name[EVENT_PART_COUNT] = {
    [EVENT_QUEUE] = "queue", [EVENT_FORWARD] = "forward", [EVENT_BACKWARD] = "backward",
    [EVENT_SEND] = "send",   [EVENT_WAIT] = "wait",
};

static const uint32_t MAX_COUNT = 1000000000;
static const double MAX_SECONDS = 1e9;

const char *event_part_name(enum event_part part)
{
    return part_name[part];
}

static bool plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-_.+:@=,", c));
}

static bool all_plain(const char *text)
{
    while (*text && plain(*text))
        text++;
    return !*text;
}

/* A string of plain characters that fits. */
static int take_text(char *out, size_t bytes, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    if (!text)
        return err_set(EBADMSG, "an event wants the string \"%s\", %s", key,
                       value ? "there is another type" : "there is none");
    size_t length = json_string_length(value);
    if (!length || length >= bytes || !all_plain(text) || text[0] == '.')
        return err_set(EBADMSG,
                       "\"%s\" wants 1 to %zu letters, digits or -_.+:@=, and no dot first", key,
                       bytes - 1);
    memcpy(out, text, length + 1);
    return 0;
}

static int take_kind(struct event *e, const json_t *object)
{
    const char *name = json_string_value(json_object_get(object, "event"));
    for (int k = 0; name && k < EVENT_KIND_COUNT; k++) {
        if (strcmp(name, kind_name[k]))
            continue;
        e->kind = (enum event_kind)k;
        return 0;
    }
    if (name && !strcmp(name, later_stop)) {
        e->kind = EVENT_STOP;
        return 0;
    }
    return err_set(EBADMSG,
                   "\"event\" wants start, batch_processed, task_processed or stop, there is %s",
                   name ? "another word" : "none");
}

/* *out stays as it is where the key may be left out, and is. */
static int take_whole(uint32_t *out, const json_t *object, const char *key, bool optional)
{
    const json_t *value = json_object_get(object, key);
    if (!value && optional)
        return 0;
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 1 || n > (json_int_t)MAX_COUNT)
        return err_set(EBADMSG, "\"%s\" wants a whole number from 1 to %u", key, MAX_COUNT);
    *out = (uint32_t)n;
    return 0;
}

static int take_parts(struct event *e, const json_t *object)
{
    const json_t *parts = json_object_get(object, "parts");
    if (!parts)
        return 0;
    for (int i = 0; i < EVENT_PART_COUNT; i++) {
        const json_t *value = json_object_get(parts, part_name[i]);
        double seconds = json_number_value(value);
        if (!json_is_number(value) || !(seconds >= 0 && seconds <= MAX_SECONDS))
            return err_set(EBADMSG, "\"parts\" wants seconds of \"%s\"", part_name[i]);
        e->part_seconds[i] = seconds;
    }
    e->has_parts = true;
    return 0;
}

/* What was processed. */
static int take_work(struct event *e, const json_t *object)
{
    int ret;
    if (e->kind == EVENT_BATCH) {
        ret = take_whole(&e->count, object, "batch_size", false);
    } else {
        e->count = 1;
        ret = take_whole(&e->count, object, "tasks", true);
        if (ret == 0)
            ret = take_whole(&e->samples, object, "samples", true);
    }
    const json_t *loss = json_object_get(object, "loss");
    if (ret == 0 && json_is_number(loss)) {
        e->has_loss = true;
        e->loss = json_number_value(loss);
    }
    return ret == 0 ? take_parts(e, object) : ret;
}

static int take_about(struct event_about *about, const json_t *object)
{
    char *const out[] = {about->application, about->suite, about->node, about->model};
    static const char *const key[] = {"application", "suite", "node", "model"};
    int ret = 0;
    for (int i = 0; ret == 0 && i < 4; i++)
        if (json_object_get(object, key[i]))
            ret = take_text(out[i], EVENT_ABOUT_BYTES, object, key[i]);
    return ret;
}

static int take_all(struct event *e, const json_t *object)
{
    if (!json_is_object(object))
        return err_set(EBADMSG, "an event is a JSON object");
    int ret = take_text(e->id, sizeof(e->id), object, "benchmark_id");
    if (ret == 0)
        ret = take_kind(e, object);
    if (ret == 0 && (e->kind == EVENT_START || json_object_get(object, "log_file_prefix")))
        ret = take_text(e->prefix, sizeof(e->prefix), object, "log_file_prefix");
    if (ret == 0)
        ret = take_about(&e->about, object);
    if (ret == 0 && (e->kind == EVENT_BATCH || e->kind == EVENT_TASK))
        ret = take_work(e, object);
    return ret;
}

int event_parse(struct event *e, const void *data, size_t bytes)
{
    json_error_t error;
    *e = (struct event){0};
    if (bytes > EVENT_MAX_BYTES)
        return err_set(EBADMSG, "an event of more than %d bytes", EVENT_MAX_BYTES);
    json_t *object = json_loadb(data, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!object) {
        bool cut = json_error_code(&error) == json_error_premature_end_of_input;
        return err_set(cut ? EAGAIN : EBADMSG, "%s JSON", cut ? "cut" : "broken");
    }
    int ret = take_all(e, object);
    json_decref(object);
    return ret;
}

static void add(char *text, size_t *used, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void add(char *text, size_t *used, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(text + *used, EVENT_MAX_BYTES - *used, format, ap);
    va_end(ap);
    CHECK(n >= 0 && (size_t)n < EVENT_MAX_BYTES - *used);
    *used += (size_t)n;
}

static void add_text(char *text, size_t *used, const char *key, const char *value)
{
    CHECK(all_plain(value));
    if (*value)
        add(text, used, ", \"%s\": \"%s\"", key, value);
}

/* JSON has no numbers that are not finite. */
static void add_work(const struct event *e, char *text, size_t *used)
{
    if (e->kind == EVENT_BATCH)
        add(text, used, ", \"batch_size\": %u", e->count);
    if (e->kind == EVENT_TASK && e->count != 1)
        add(text, used, ", \"tasks\": %u", e->count);
    if (e->kind == EVENT_TASK && e->samples)
        add(text, used, ", \"samples\": %u", e->samples);
    if (e->has_loss && isfinite(e->loss))
        add(text, used, ", \"loss\": %.9g", e->loss);
    for (int i = 0; e->has_parts && i < EVENT_PART_COUNT; i++)
        add(text, used, "%s\"%s\": %.9g%s", i ? ", " : ", \"parts\": {", part_name[i],
            e->part_seconds[i], i == EVENT_PART_COUNT - 1 ? "}" : "");
}

size_t event_write(const struct event *e, char text[EVENT_MAX_BYTES])
{
    size_t used = 0;
    CHECK(*e->id && all_plain(e->id) && e->kind < EVENT_KIND_COUNT);
    add(text, &used, "{\"benchmark_id\": \"%s\", \"event\": \"%s\"", e->id, kind_name[e->kind]);
    if (e->kind == EVENT_BATCH || e->kind == EVENT_TASK)
        add_work(e, text, &used);
    add_text(text, &used, "log_file_prefix", e->prefix);
    add_text(text, &used, "application", e->about.application);
    add_text(text, &used, "suite", e->about.suite);
    add_text(text, &used, "node", e->about.node);
    add_text(text, &used, "model", e->about.model);
    add(text, &used, "}");
    return used;
}

void event_clean(char *clean, size_t bytes, const char *text)
{
    size_t n = 0;
    for (; n < bytes - 1 && text[n]; n++)
        clean[n] = plain(text[n]) && (n || text[n] != '.') ? text[n] : '_';
    clean[n] = '\0';
}

/* The piece of [from, to) into an empty field that it fits. */
static void fill(char *field, const char *from, const char *to)
{
    if (*field || to - from >= EVENT_ABOUT_BYTES || to <= from)
        return;
    memcpy(field, from, (size_t)(to - from));
    field[to - from] = '\0';
}

void event_about_prefix(struct event_about *about, const char *prefix)
{
    static const char begin[] = "benchmark_";
    const char *application = prefix + strlen(begin), *suite, *node, *end[3];
    if (strncmp(prefix, begin, strlen(begin)) != 0 || !(suite = strchr(application, '-')) ||
        !(node = strchr(suite + 1, '-')))
        return;
    const char *p = prefix + strlen(prefix);
    for (int i = 0; i < 3; i++) { /* from the right: a host's name may have dashes */
        while (p > node && *--p != '-')
            ;
        end[i] = p;
    }
    if (end[2] == node)
        return;
    fill(about->application, application, suite);
    fill(about->suite, suite + 1, node);
    fill(about->node, node + 1, end[2]);
    fill(about->model, end[2] + 1, end[1]);
}
