/* Events as text: what is written is read as the same; what the original's clients do not say may
 * be missing, and its server passes it over; a prefix says who runs what. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/event.h"

static struct event whole_event(enum event_kind kind)
{
    struct event e = {.kind = kind, .count = 3, .has_loss = true, .loss = 2.25, .has_parts = true};
    strcpy(e.id, "id-1");
    strcpy(e.prefix, "benchmark_learning-offload_final-a-b-small-1-64");
    strcpy(e.about.application, "learning");
    strcpy(e.about.suite, "offload_final");
    strcpy(e.about.node, "a-b");
    strcpy(e.about.model, "yolov3-tiny");
    for (int i = 0; i < EVENT_PART_COUNT; i++)
        e.part_seconds[i] = 0.5 * i;
    return e;
}

static void test_round_trip(void **state)
{
    for (int k = 0; k < EVENT_KIND_COUNT; k++) {
        char text[EVENT_MAX_BYTES];
        struct event e = whole_event((enum event_kind)k), r;
        bool works = k == EVENT_BATCH || k == EVENT_TASK;
        e.samples = k == EVENT_TASK ? 192 : 0;
        size_t bytes = event_write(&e, text);
        assert_int_equal(event_parse(&r, text, bytes), 0);
        assert_int_equal(r.kind, k);
        assert_string_equal(r.id, e.id);
        assert_string_equal(r.prefix, e.prefix);
        assert_memory_equal(&r.about, &e.about, sizeof(e.about));
        assert_int_equal(r.has_loss, works);
        assert_int_equal(r.has_parts, works);
        if (!works)
            continue;
        assert_int_equal(r.count, 3);
        assert_int_equal(r.samples, e.samples);
        assert_true(r.loss == e.loss);
        assert_memory_equal(r.part_seconds, e.part_seconds, sizeof(e.part_seconds));
    }
}

/* As the original's server reads it: json.loads, then keys by name. */
static void test_what_the_original_reads(void **state)
{
    char text[EVENT_MAX_BYTES];
    struct event e = whole_event(EVENT_BATCH);
    e.loss = (double)NAN; /* Python's NaN is no JSON */
    json_t *o = json_loadb(text, event_write(&e, text), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    assert_string_equal(json_string_value(json_object_get(o, "benchmark_id")), "id-1");
    assert_string_equal(json_string_value(json_object_get(o, "event")), "batch_processed");
    assert_int_equal(json_integer_value(json_object_get(o, "batch_size")), 3);
    assert_null(json_object_get(o, "loss"));
    json_decref(o);
    e.kind = EVENT_TASK;
    e.count = 1;
    o = json_loadb(text, event_write(&e, text), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(o, "event")), "task_processed");
    assert_null(json_object_get(o, "tasks"));
    json_decref(o);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "\"batch_processed\",\"batch_size\":1,\"parts\":{}",
        "\"batch_processed\",\"batch_size\":1,\"parts\":7",
        "\"batch_processed\",\"batch_size\":1,\"parts\":{\"queue\":0,\"forward\":0,\"backward\":0,"
        "\"send\":0,\"wait\":-1}",
        "\"batch_processed\",\"batch_size\":1,\"parts\":{\"queue\":0,\"forward\":0,\"backward\":0,"
        "\"send\":0,\"wait\":1e300}",
        "\"task_processed\",\"samples\":0",
        "\"task_processed\",\"tasks\":\"1\"",
        "\"task_processed\",\"node\":\"a\\nb\"",
        "\"task_processed\",\"node\":\"a\\\"b\"",
        "\"task_processed\",\"model\":7",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char text[512];
        struct event e;
        int n = snprintf(text, sizeof(text), "{\"benchmark_id\":\"x\",\"event\":%s}", bad[i]);
        if (event_parse(&e, text, (size_t)n) != -EBADMSG)
            fail_msg("%s was taken", text);
    }
}

static void test_about_prefix(void **state)
{
    static const struct {
        const char *prefix, *application, *suite, *node, *model;
    } row[] = {
        {"benchmark_learning-aio-amd64-VGG_unsplit-1-64", "learning", "aio", "amd64",
         "VGG_unsplit"},
        {"benchmark_inference-offload_source-my-host-2-YOLOv3-100-1", "inference", "offload_source",
         "my-host-2", "YOLOv3"},
        {"benchmark_split_training", "", "", "", ""},
        {"benchmark_sparse", "", "", "", ""},
        {"benchmark_a-b-c-d", "", "", "", ""},
        {"other-a-b-c-d-e-f", "", "", "", ""},
        {"benchmark_-----", "", "", "", ""},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
        struct event_about a = {.node = ""};
        event_about_prefix(&a, row[i].prefix);
        assert_string_equal(a.application, row[i].application);
        assert_string_equal(a.suite, row[i].suite);
        assert_string_equal(a.node, row[i].node);
        assert_string_equal(a.model, row[i].model);
    }
    struct event_about said = {.model = "yolov3-tiny"};
    event_about_prefix(&said, "benchmark_learning-aio-h-yolov3-tiny-1-64");
    assert_string_equal(said.model, "yolov3-tiny");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_what_the_original_reads),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_about_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
