/*
 * Metrics by a table: a family is its name, its kind, its unit, its help and a function for its
 * value of the machine or of a run. Values of labels hold no character that would want a backslash:
 * event_clean sees to that.
 */
#include "monitor/metrics.h"

#include <math.h>
#include <string.h>

const char metrics_text_type[] = "text/plain; version=0.0.4; charset=utf-8";
const char metrics_open_type[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";

static const double ENDED_SECONDS = 300; /* Prometheus forgets a series after as long */

struct family {
    const char *name, *unit; /* the unit is the name's end; "": none */
    bool counts;             /* a counter, else a gauge */
    bool of_gpu;             /* only where the machine has one */
    const char *help;
    double (*node)(const struct board *b);
    double (*run)(const struct board_run *r);
    double (*part)(const struct board_run *r, int part);
};

static double sent(const struct board *b)
{
    return (double)b->now.bytes_sent;
}

static double received(const struct board *b)
{
    return (double)b->now.bytes_recv;
}

static double cpu(const struct board *b)
{
    return b->now.cpu_percent / 100;
}

static double ram(const struct board *b)
{
    return 1024 * (double)b->now.ram_kb;
}

static double ram_total(const struct board *b)
{
    return 1024 * (double)b->now.ram_total_kb;
}

static double swap(const struct board *b)
{
    return 1024 * (double)b->now.swap_kb;
}

static double gpu(const struct board *b)
{
    return b->now.gpu_percent / 100;
}

static double power(const struct board *b)
{
    return b->now.power_mw / 1000;
}

static double events(const struct board *b)
{
    return (double)b->events;
}

static double ignored(const struct board *b)
{
    return (double)b->ignored;
}

static double live(const struct board_run *r)
{
    return r->live;
}

static double start(const struct board_run *r)
{
    return r->start_unix;
}

static double duration(const struct board_run *r)
{
    return r->end - r->start;
}

static double samples(const struct board_run *r)
{
    return (double)(r->totals.samples + r->totals.task_samples);
}

static double tasks(const struct board_run *r)
{
    return (double)r->totals.tasks;
}

static double loss(const struct board_run *r)
{
    return r->totals.loss;
}

static double part(const struct board_run *r, int p)
{
    return r->totals.part_seconds[p];
}

/* clang-format off */
static const struct family families[] = {
    {"sparse_node_network_transmit_bytes", "bytes", true, false,
        "Bytes that the machine, or the interface that is watched, has sent.", .node = sent},
    {"sparse_node_network_receive_bytes", "bytes", true, false,
        "Bytes that the machine, or the interface that is watched, has received.",
        .node = received},
    {"sparse_node_cpu_busy_ratio", "ratio", false, false,
        "Load of all cores since the sample before.", .node = cpu},
    {"sparse_node_memory_used_bytes", "bytes", false, false, "Memory in use.", .node = ram},
    {"sparse_node_memory_size_bytes", "bytes", false, false, "Memory that there is.",
        .node = ram_total},
    {"sparse_node_swap_used_bytes", "bytes", false, false, "Swap in use.", .node = swap},
    {"sparse_node_gpu_busy_ratio", "ratio", false, true, "Load of the GPU, the mean of several.",
        .node = gpu},
    {"sparse_node_power_watts", "watts", false, true,
        "Power of the module, or of all GPUs, now.", .node = power},
    {"sparse_monitor_events", "", true, false, "Events of runs that were followed.",
        .node = events},
    {"sparse_monitor_ignored_messages", "", true, false, "Messages that were no event of a run.",
        .node = ignored},
    {"sparse_run_live", "", false, false, "1 while the run goes on, 0 once it has ended.",
        .run = live},
    {"sparse_run_start_time_seconds", "seconds", false, false,
        "When the monitor first heard of the run, since the epoch.", .run = start},
    {"sparse_run_duration_seconds", "seconds", false, false, "Since then, until its end.",
        .run = duration},
    {"sparse_run_samples", "", true, false, "Samples that the node has processed.",
        .run = samples},
    {"sparse_run_tasks", "", true, false,
        "Steps or requests that a worker has done for its neighbours.", .run = tasks},
    {"sparse_run_loss", "", false, false, "Loss of the last step.", .run = loss},
    {"sparse_run_step_seconds", "seconds", true, false,
        "Time of the thread that runs the steps, by what it did.", .part = part},
};
/* clang-format on */

/* A family is told where any value of it is. */
static void head(struct text *t, const struct family *f, enum metrics_format format, bool *told)
{
    if (*told)
        return;
    *told = true;
    const char *total = f->counts && format == METRICS_TEXT ? "_total" : "";
    text_add(t, "# HELP %s%s %s\n", f->name, total, f->help);
    text_add(t, "# TYPE %s%s %s\n", f->name, total, f->counts ? "counter" : "gauge");
    if (format == METRICS_OPEN && *f->unit)
        text_add(t, "# UNIT %s %s\n", f->name, f->unit);
}

/* As both formats write a number that is not finite. */
static void number(struct text *t, double v)
{
    if (isnan(v))
        text_add(t, " NaN\n");
    else if (isinf(v))
        text_add(t, v > 0 ? " +Inf\n" : " -Inf\n");
    else
        text_add(t, " %.15g\n", v);
}

static void run_labels(struct text *t, const struct family *f, const struct board_run *r)
{
    text_add(t, "%s%s{run=\"%s\",application=\"%s\",suite=\"%s\",node=\"%s\",model=\"%s\"", f->name,
             f->counts ? "_total" : "", r->id, r->about.application, r->about.suite, r->about.node,
             r->about.model);
}

/* A worker that was idle goes on under the id of the run that ended: the later one is told of. */
static bool is_followed(const struct board *b, const struct board_run *r)
{
    for (const struct board_run *q = b->run; q < b->run + BOARD_RUNS; q++)
        if (q->used && q != r && !strcmp(q->id, r->id) &&
            (q->start > r->start || (q->start == r->start && q > r)))
            return true;
    return false;
}

static bool is_told(const struct board *b, const struct board_run *r)
{
    return r->used && (r->live || b->time - r->end < ENDED_SECONDS) && !is_followed(b, r);
}

/* No loss is told of a run that has none; one that is not finite is. */
static bool has(const struct family *f, const struct board_run *r)
{
    return (f->run != loss || r->totals.has_loss) && (!f->part || r->totals.has_parts);
}

static void write_runs(struct text *t, const struct board *b, const struct family *f,
                       enum metrics_format format)
{
    bool told = false;
    for (const struct board_run *r = b->run; r < b->run + BOARD_RUNS; r++) {
        if (!is_told(b, r) || !has(f, r))
            continue;
        head(t, f, format, &told);
        for (int p = 0; p < (f->part ? EVENT_PART_COUNT : 1); p++) {
            run_labels(t, f, r);
            if (f->part)
                text_add(t, ",part=\"%s\"", event_part_name((enum event_part)p));
            text_add(t, "}");
            number(t, f->part ? f->part(r, p) : f->run(r));
        }
    }
}

void metrics_write(struct text *t, const struct board *b, enum metrics_format format)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++) {
        const struct family *f = &families[i];
        bool told = false;
        if (!f->node) {
            write_runs(t, b, f, format);
        } else if (b->has_gpu || !f->of_gpu) {
            head(t, f, format, &told);
            text_add(t, "%s%s{node=\"%s\"}", f->name, f->counts ? "_total" : "", b->host);
            number(t, f->node(b));
        }
    }
    if (format == METRICS_OPEN)
        text_add(t, "# EOF\n");
}
