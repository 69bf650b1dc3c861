/*
 * A run's side of the monitor. The run adds to two counters, which costs nothing and cannot fail; a
 * small thread sends what was added ten times a second. No monitor, one that is stuck, or one that
 * goes away never slows or fails the run: at most one log line says so.
 *
 *     struct monitor_client *c = monitor_client_open(&(struct monitor_client_options){
 *         .data_dir = "data", .prefix = "benchmark_learning-aio-host-small-1-64"});
 *     while (...)
 *         monitor_batch(c, 64, loss);          // or monitor_task(c, 1, 64, loss) in a worker
 *     monitor_client_close(c);
 */
#ifndef MONITOR_CLIENT_H
#define MONITOR_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "monitor/event.h"

struct monitor_client;

struct monitor_client_options {
    const char *data_dir;
    const char *prefix; /* any text: see event_clean */
    struct event_about about;
    /* 0: a benchmark begins now. Else, in a worker, at its first task or monitor_begin, and a new
     * one at each of these that comes so long or longer after the one before. */
    double gap_seconds;
};

/* The monitor has begun to count, unless it takes longer than this. */
enum { MONITOR_BEGIN_MS = 100 };

/* NULL after one log line where there is no memory or no thread for it; all calls take NULL. */
struct monitor_client *monitor_client_open(const struct monitor_client_options *opt);

/* What is not told yet, and the stop, are sent; a monitor that does not answer delays this by less
 * than a second. True if a monitor has answered ever. */
bool monitor_client_close(struct monitor_client *c);

/* Whether a monitor has answered so far. */
bool monitor_answers(const struct monitor_client *c);

/* What is counted from now on is of this prefix. Where that is another, or nothing was counted for
 * gap_seconds, a benchmark begins now: before this returns, unless the monitor takes longer than
 * MONITOR_BEGIN_MS. */
void monitor_begin(struct monitor_client *c, const char *prefix);

/* One thread calls these. They allocate nothing and enter no lock. loss: NAN where there is none;
 * samples: of all these tasks. */
void monitor_batch(struct monitor_client *c, int samples, double loss);
void monitor_task(struct monitor_client *c, int tasks, int samples, double loss);

/* What was spent on each part of a step, to be called before the batch or task is counted. */
void monitor_parts(struct monitor_client *c, const uint64_t part_ns[EVENT_PART_COUNT]);

#endif
