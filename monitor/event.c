/* Events as JSON, read with jansson. Ids and prefixes have no character that JSON escapes. */
#include "monitor/event.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
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

static const uint32_t MAX_COUNT = 1000000000;

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

static int take_count(struct event *e, const json_t *object)
{
    const char *key = e->kind == EVENT_BATCH ? "batch_size" : "tasks";
    const json_t *value = json_object_get(object, key);
    e->count = 1;
    if (!value && e->kind == EVENT_TASK)
        return 0;
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 1 || n > (json_int_t)MAX_COUNT)
        return err_set(EBADMSG, "\"%s\" wants a whole number from 1 to %u", key, MAX_COUNT);
    e->count = (uint32_t)n;
    return 0;
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
    if (ret == 0 && (e->kind == EVENT_BATCH || e->kind == EVENT_TASK))
        ret = take_count(e, object);
    const json_t *loss = json_object_get(object, "loss");
    if (ret == 0 && e->kind == EVENT_BATCH && json_is_number(loss)) {
        e->has_loss = true;
        e->loss = json_number_value(loss);
    }
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

size_t event_write(const struct event *e, char text[EVENT_MAX_BYTES])
{
    CHECK(*e->id && all_plain(e->id) && all_plain(e->prefix) && e->kind < EVENT_KIND_COUNT);
    int n = snprintf(text, EVENT_MAX_BYTES, "{\"benchmark_id\": \"%s\", \"event\": \"%s\"", e->id,
                     kind_name[e->kind]);
    if (e->kind == EVENT_BATCH)
        n += snprintf(text + n, EVENT_MAX_BYTES - (size_t)n, ", \"batch_size\": %u", e->count);
    if (e->kind == EVENT_TASK && e->count != 1)
        n += snprintf(text + n, EVENT_MAX_BYTES - (size_t)n, ", \"tasks\": %u", e->count);
    if (e->has_loss && isfinite(e->loss)) /* JSON has no other numbers */
        n += snprintf(text + n, EVENT_MAX_BYTES - (size_t)n, ", \"loss\": %.9g", e->loss);
    if (*e->prefix)
        n += snprintf(text + n, EVENT_MAX_BYTES - (size_t)n, ", \"log_file_prefix\": \"%s\"",
                      e->prefix);
    n += snprintf(text + n, EVENT_MAX_BYTES - (size_t)n, "}");
    return (size_t)n;
}

void event_clean_prefix(char prefix[EVENT_PREFIX_BYTES], const char *text)
{
    size_t n = 0;
    for (; text[n] && n < EVENT_PREFIX_BYTES - 1; n++)
        prefix[n] = plain(text[n]) && (n || text[n] != '.') ? text[n] : '_';
    prefix[n] = '\0';
}
