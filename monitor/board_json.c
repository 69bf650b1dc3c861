/* JSON by hand: no text in it has a character that JSON would escape. */
#include "monitor/board_json.h"

#include <inttypes.h>
#include <math.h>

static uint64_t samples(const struct board_totals *t)
{
    return t->samples + t->task_samples;
}

static void loss(struct text *t, const struct board_totals *s)
{
    if (s->has_loss && isfinite(s->loss))
        text_add(t, "%.7g", s->loss);
    else
        text_add(t, "null");
}

static void host_point(struct text *t, const struct board *b, int i)
{
    const struct host_sample *h = &b->point[i];
    text_add(t, "%s[%" PRIu64 ",%.3f,%" PRIu64 ",%" PRIu64 ",%.1f,%" PRIu64, i ? "," : "",
             b->line.n[i], b->line.time[i], h->bytes_sent, h->bytes_recv, h->cpu_percent,
             h->ram_kb);
    if (b->has_gpu)
        text_add(t, ",%.1f,%.0f", h->gpu_percent, h->power_mw);
    text_add(t, "]");
}

static void node(struct text *t, const struct board *b)
{
    const struct host_sample *h = &b->now;
    text_add(t,
             "{\"name\":\"%s\",\"gpu\":%s,\"sent\":%" PRIu64 ",\"received\":%" PRIu64
             ",\"cpu\":%.1f,\"ram_kb\":%" PRIu64 ",\"ram_total_kb\":%" PRIu64
             ",\"swap_kb\":%" PRIu64,
             b->host, b->has_gpu ? "true" : "false", h->bytes_sent, h->bytes_recv, h->cpu_percent,
             h->ram_kb, h->ram_total_kb, h->swap_kb);
    if (b->has_gpu)
        text_add(t, ",\"gpu_percent\":%.1f,\"power_mw\":%.0f", h->gpu_percent, h->power_mw);
    text_add(t, ",\"points\":[");
    for (int i = 0; i < b->line.count; i++)
        host_point(t, b, i);
    text_add(t, "]}");
}

static void run_point(struct text *t, const struct board_run *r, int i)
{
    const struct board_totals *s = &r->point[i];
    text_add(t, "%s[%" PRIu64 ",%.3f,%" PRIu64 ",%" PRIu64 ",", i ? "," : "", r->line.n[i],
             r->line.time[i], samples(s), s->tasks);
    loss(t, s);
    for (int p = 0; s->has_parts && p < EVENT_PART_COUNT; p++)
        text_add(t, ",%.4f", s->part_seconds[p]);
    text_add(t, "]");
}

static void run(struct text *t, const struct board_run *r)
{
    const struct board_totals *s = &r->totals;
    text_add(t,
             "{\"id\":\"%s\",\"prefix\":\"%s\",\"application\":\"%s\",\"suite\":\"%s\","
             "\"node\":\"%s\",\"model\":\"%s\",\"live\":%s,\"start_unix\":%.3f,\"start\":%.3f,"
             "\"end\":%.3f,\"samples\":%" PRIu64 ",\"tasks\":%" PRIu64 ",\"loss\":",
             r->id, r->prefix, r->about.application, r->about.suite, r->about.node, r->about.model,
             r->live ? "true" : "false", r->start_unix, r->start, r->end, samples(s), s->tasks);
    loss(t, s);
    text_add(t, ",\"parts\":");
    for (int p = 0; s->has_parts && p < EVENT_PART_COUNT; p++)
        text_add(t, "%s\"%s\":%.4f", p ? "," : "{", event_part_name((enum event_part)p),
                 s->part_seconds[p]);
    text_add(t, s->has_parts ? "},\"points\":[" : "null,\"points\":[");
    for (int i = 0; i < r->line.count; i++)
        run_point(t, r, i);
    text_add(t, "]}");
}

void board_json(struct text *t, const struct board *b)
{
    bool first = true;
    text_add(t,
             "{\"version\":\"%s\",\"n\":%" PRIu64 ",\"time\":%.3f,\"unix\":%.3f,\"rate\":%g,"
             "\"interface\":\"%s\",\"node\":",
             SPARSE_VERSION, b->n, b->time, b->unix_time, b->rate, b->interface);
    node(t, b);
    text_add(t, ",\"runs\":[");
    for (const struct board_run *r = b->run; r < b->run + BOARD_RUNS; r++) {
        if (!r->used)
            continue;
        if (!first)
            text_add(t, ",");
        first = false;
        run(t, r);
    }
    text_add(t, "]}\n");
}
