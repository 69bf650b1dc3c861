/* Counters, rows and ends of the runs that a monitor watches. */
#include "monitor/runs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
                   1e-9 * (double)(now_ns - x->start_ns), sent, recv, x->samples, x->tasks, gpu);
}

static void end(struct run *x)
{
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
    end(x);
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
    if (e->kind == EVENT_BATCH)
        x->samples += e->count;
    else if (e->kind == EVENT_TASK)
        x->tasks += e->count;
    else if (e->kind == EVENT_STOP)
        sample_and_end(r, x, now_ns);
    return 0;
}

void runs_sample(struct runs *r, uint64_t now_ns)
{
    struct host_sample s;
    host_read(r->host, &s);
    for (struct run *x = r->run; x < r->run + RUNS_MAX; x++) {
        if (!x->live)
            continue;
        if (row(r->host, x, &s, now_ns) < 0) {
            log_warning("monitor", "Benchmark '%s': %s", x->id, err_text());
            end(x);
        } else if (now_ns - x->message_ns >= r->timeout_ns) {
            end(x);
        }
    }
}

void runs_end(struct runs *r, uint64_t now_ns)
{
    for (struct run *x = r->run; x < r->run + RUNS_MAX; x++)
        if (x->live)
            sample_and_end(r, x, now_ns);
}
