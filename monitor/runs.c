/* Counters, rows and ends of the runs that a monitor watches. */
#include "monitor/runs.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"

static const char head[] = "timestamp,bytes_sent,bytes_recv,samples_processed,tasks_processed";
static const char gpu_head[] = ",GPU,RAM,SWAP,power_cur";

/* Bytes and seconds count from the first row; a counter that began anew counts from nothing. */
static int row(const struct host *h, struct run *x, const struct host_sample *s, uint64_t now_ns)
{
    uint64_t sent = s->bytes_sent >= x->bytes_sent ? s->bytes_sent - x->bytes_sent : 0;
    uint64_t recv = s->bytes_recv >= x->bytes_recv ? s->bytes_recv - x->bytes_recv : 0;
    char gpu[96] = "";
    if (h->has_gpu)
        snprintf(gpu, sizeof(gpu), ",%.1f,%" PRIu64 ",%" PRIu64 ",%.0f", s->gpu_percent, s->ram_kb,
                 s->swap_kb, s->power_mw);
    return csv_row(&x->csv, "%.3f,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "%s",
                   1e-9 * (double)(now_ns - x->start_ns), sent, recv, x->totals.samples,
                   x->totals.tasks, gpu);
}

static double seconds(const struct runs *r, uint64_t now_ns)
{
    return 1e-9 * (double)(now_ns - r->begin_ns);
}

static double unix_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void end(struct runs *r, struct run *x, uint64_t now_ns)
{
    board_end(r->board, x->place, seconds(r, now_ns), &x->totals);
    log_info("monitor", "Stopped benchmark '%s'", x->id);
    csv_close(&x->csv);
    x->live = false;
}

static void sample_and_end(struct runs *r, struct run *x, uint64_t now_ns)
{
    struct host_sample s;
    host_read(r->host, &s);
    if (row(r->host, x, &s, now_ns) < 0)
        log_warning("monitor", "Benchmark '%s': %s", x->id, err_text());
    end(r, x, now_ns);
}

static int start(struct runs *r, struct run **out, const struct event *e, uint64_t now_ns)
{
    struct run *x = r->run;
    while (x < r->run + RUNS_MAX && x->live)
        x++;
    if (x == r->run + RUNS_MAX)
        return err_set(EBUSY, "%d benchmarks go on, as many as this monitor watches at once",
                       RUNS_MAX);
    struct host_sample s;
    host_read(r->host, &s);
    *x = (struct run){.start_ns = now_ns, .bytes_sent = s.bytes_sent, .bytes_recv = s.bytes_recv};
    memcpy(x->id, e->id, sizeof(x->id));
    char columns[128];
    snprintf(columns, sizeof(columns), "%s%s", head, r->host->has_gpu ? gpu_head : "");
    int ret = csv_open(&x->csv, r->data_dir, e->prefix, columns);
    if (ret < 0)
        return ret;
    ret = row(r->host, x, &s, now_ns);
    if (ret < 0) {
        csv_close(&x->csv);
        return ret;
    }
    x->live = true;
    x->place = board_begin(r->board, e, seconds(r, now_ns), unix_seconds());
    *out = x;
    log_info("monitor",
             "Started a new benchmark '%s' with log prefix '%s' monitoring nic '%s', file %s",
             x->id, e->prefix, r->interface ? r->interface : "all", x->csv.path);
    return 0;
}

static struct run *find(struct runs *r, const char *id)
{
    for (struct run *x = r->run; x < r->run + RUNS_MAX; x++)
        if (x->live && !strcmp(x->id, id))
            return x;
    return NULL;
}

/* A loss that was told before and is no more is not finite: JSON has no word for it. */
static void add(struct board_totals *t, const struct event *e)
{
    if (e->kind == EVENT_BATCH)
        t->samples += e->count;
    if (e->kind == EVENT_TASK) {
        t->tasks += e->count;
        t->task_samples += e->samples;
    }
    if (e->has_loss)
        t->loss = e->loss;
    else if (e->kind == EVENT_BATCH || e->kind == EVENT_TASK)
        t->loss = (double)NAN;
    t->has_loss |= e->has_loss;
    t->has_parts |= e->has_parts;
    for (int i = 0; i < EVENT_PART_COUNT; i++)
        t->part_seconds[i] += e->part_seconds[i];
}

int runs_event(struct runs *r, const struct event *e, uint64_t now_ns)
{
    struct run *x = find(r, e->id);
    if (!x && e->kind == EVENT_STOP)
        return 0; /* its silence has ended it already */
    if (!x && !*e->prefix)
        return err_set(ENOENT, "benchmark '%s' is unknown and the event says no prefix to start it",
                       e->id);
    int ret = x ? 0 : start(r, &x, e, now_ns);
    if (ret < 0)
        return ret;
    x->message_ns = now_ns;
    add(&x->totals, e);
    if (e->kind == EVENT_STOP)
        sample_and_end(r, x, now_ns);
    return 0;
}

void runs_sample(struct runs *r, uint64_t now_ns)
{
    struct host_sample s;
    host_read(r->host, &s);
    board_tick(r->board, seconds(r, now_ns), unix_seconds(), &s);
    for (struct run *x = r->run; x < r->run + RUNS_MAX; x++) {
        if (!x->live)
            continue;
        board_run(r->board, x->place, seconds(r, now_ns), &x->totals);
        if (row(r->host, x, &s, now_ns) < 0) {
            log_warning("monitor", "Benchmark '%s': %s", x->id, err_text());
            end(r, x, now_ns);
        } else if (now_ns - x->message_ns >= r->timeout_ns) {
            end(r, x, now_ns);
        }
    }
}

void runs_end(struct runs *r, uint64_t now_ns)
{
    for (struct run *x = r->run; x < r->run + RUNS_MAX; x++)
        if (x->live)
            sample_and_end(r, x, now_ns);
}
