/* Rows of step times in a fixed array, and their file. */
#include "engine/step_times.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/monitoring.h"
#include "monitor/csv.h"

enum { ROWS = 4096, PREFIX_BYTES = EVENT_PREFIX_BYTES + 8 };

struct row {
    uint32_t step;
    uint64_t end_ns, part_ns[STEP_PART_COUNT];
};

struct step_times {
    const char *data_dir;
    const struct monitor_client *client;
    char prefix[PREFIX_BYTES];
    struct csv csv;
    bool failed; /* to write: said once */
    uint64_t start_ns;
    uint64_t first, count; /* rows first to count - 1 are kept, row n at n % ROWS */
    struct row row[ROWS];
};

struct step_times *step_times_open(const struct config *c, const char *model,
                                   const struct monitor_client *client)
{
    if (!client)
        return NULL;
    struct step_times *t = calloc(1, sizeof(*t));
    if (!t) {
        log_warning("monitor", "No memory for the times of the steps: none are kept");
        return NULL;
    }
    t->data_dir = c->data_dir;
    t->client = client;
    char prefix[EVENT_PREFIX_BYTES];
    monitoring_prefix(prefix, c, model, monitoring_rounds(c), c->batch_size);
    snprintf(t->prefix, sizeof(t->prefix), "%s-steps", prefix);
    t->csv.fd = -1;
    t->start_ns = clock_now_ns();
    return t;
}

static int write_row(struct csv *f, const struct row *r, uint64_t start_ns)
{
    const uint64_t *p = r->part_ns;
    return csv_row(f, "%u,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f", r->step + 1,
                   1e-9 * (double)(r->end_ns - start_ns), 1e-9 * (double)p[STEP_QUEUE],
                   1e-9 * (double)p[STEP_FORWARD], 1e-9 * (double)p[STEP_BACKWARD],
                   1e-9 * (double)p[STEP_SEND], 1e-9 * (double)p[STEP_WAIT]);
}

static void flush(struct step_times *t)
{
    if (t->failed || t->first == t->count)
        return;
    int ret = 0;
    if (t->csv.fd < 0)
        ret = csv_open(&t->csv, t->data_dir, t->prefix,
                       "step,timestamp,queue,forward,backward,send,wait");
    for (; ret == 0 && t->first < t->count; t->first++)
        ret = write_row(&t->csv, &t->row[t->first % ROWS], t->start_ns);
    if (ret == 0)
        return;
    t->failed = true;
    log_warning("monitor", "No more times of steps are written: %s", err_text());
}

void step_times_close(struct step_times *t, bool watched)
{
    if (!t)
        return;
    if (watched)
        flush(t);
    csv_close(&t->csv);
    free(t);
}

void step_times_rename(struct step_times *t, const char *prefix)
{
    char name[PREFIX_BYTES];
    if (!t)
        return;
    snprintf(name, sizeof(name), "%s-steps", prefix);
    if (!strcmp(name, t->prefix))
        return;
    if (monitor_answers(t->client))
        flush(t);
    t->first = t->count;
    csv_close(&t->csv);
    memcpy(t->prefix, name, sizeof(name));
}

void step_times_note(struct step_times *t, uint32_t step, const uint64_t part_ns[STEP_PART_COUNT])
{
    if (!t)
        return;
    if (t->count - t->first == ROWS) {
        if (monitor_answers(t->client))
            flush(t);
        if (t->count - t->first == ROWS)
            t->first++;
    }
    struct row *row = &t->row[t->count++ % ROWS];
    row->step = step;
    row->end_ns = clock_now_ns();
    memcpy(row->part_ns, part_ns, sizeof(row->part_ns));
}

const char *step_shares(char text[STEP_SHARES_BYTES], const uint64_t part_ns[STEP_PART_COUNT])
{
    double all = 0;
    int n = 0;
    for (int i = 0; i < STEP_PART_COUNT; i++)
        all += (double)part_ns[i];
    text[0] = '\0';
    for (int i = 0; i < STEP_PART_COUNT; i++)
        if (part_ns[i])
            n += snprintf(text + n, STEP_SHARES_BYTES - (size_t)n, "%s%s %.1f %%", n ? ", " : "",
                          event_part_name((enum event_part)i), 100 * (double)part_ns[i] / all);
    return text;
}
