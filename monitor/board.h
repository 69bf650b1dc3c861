/*
 * What those who look at a monitor are shown: the machine, the runs that go on and the last ones
 * that have ended, with points over their whole time. The monitor's thread writes it at each
 * sample; whoever serves it copies it, so that a slow reader holds up nobody.
 *
 * A line of points that is full keeps every second one, and from then on takes every 2nd, 4th, ...
 * sample.
 *
 *     board_tick(b, time, unix_time, &host_sample);        // the monitor's thread
 *     board_copy(view, b, since);                          // a reader's
 */
#ifndef MONITOR_BOARD_H
#define MONITOR_BOARD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "monitor/event.h"
#include "monitor/host.h"

enum { BOARD_RUNS = 96, BOARD_POINTS = 600 }; /* runs: more than go on at once */

/* Sums since a run's start. */
struct board_totals {
    uint64_t samples; /* in batches */
    uint64_t tasks, task_samples;
    bool has_loss, has_parts; /* has been told any */
    double loss;              /* the last one; may be NAN */
    double part_seconds[EVENT_PART_COUNT];
};

/* Of each point its sample, counted from 1, and the seconds since the monitor's start. */
struct board_line {
    uint64_t stride; /* points are kept of samples that this divides */
    int count;
    uint64_t n[BOARD_POINTS];
    double time[BOARD_POINTS];
};

struct board_run {
    bool used, live;
    char id[EVENT_ID_BYTES], prefix[EVENT_PREFIX_BYTES];
    struct event_about about;
    double start, start_unix, end; /* seconds; end: so far, or for good */
    struct board_totals totals;
    struct board_line line;
    struct board_totals point[BOARD_POINTS];
};

struct board {
    pthread_mutex_t lock;
    char host[EVENT_ABOUT_BYTES], interface[EVENT_ABOUT_BYTES];
    bool has_gpu;
    double rate;
    uint64_t n; /* samples so far */
    double time, unix_time;
    uint64_t events, ignored; /* messages */
    struct host_sample now;
    struct board_line line;
    struct host_sample point[BOARD_POINTS];
    struct board_run run[BOARD_RUNS];
};

/* NULL: no memory. interface NULL: all of them. */
struct board *board_new(bool has_gpu, double rate, const char *interface);
void board_free(struct board *b); /* NULL is fine */

/* The monitor's thread. All take NULL: nobody looks. */
void board_tick(struct board *b, double time, double unix_time, const struct host_sample *host);
void board_message(struct board *b, bool ignored);

/* The number of its place, which is that of the run that ended longest ago where all are taken. */
int board_begin(struct board *b, const struct event *e, double time, double unix_time);
void board_run(struct board *b, int place, double time, const struct board_totals *t);
void board_end(struct board *b, int place, double time, const struct board_totals *t);

/* All of it, and of the points those of samples after `since`. */
void board_copy(struct board *to, struct board *from, uint64_t since);

#endif
