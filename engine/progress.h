/*
 * How far a run is: on a terminal a bar that is redrawn at most ten times a second, elsewhere a
 * plain line every few seconds. Nothing is allocated after progress_open.
 *
 *     struct progress p;
 *     progress_open(&p, stdout, "samples", 4096);        // to NULL: says nothing
 *     progress_loss(&p, loss);                            // where there is one
 *     progress_update(&p, 64);                            // after each step
 *     progress_say(&p, "Epoch 1 of 3: ...");              // a line above the bar
 *     progress_close(&p);
 */
#ifndef ENGINE_PROGRESS_H
#define ENGINE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct progress {
    FILE *to;
    bool tty, utf8;
    const char *unit;
    uint64_t total, done;
    bool has_loss;
    double loss; /* may be infinite or NaN: that is shown */
    uint64_t start_ns, shown_ns;
    bool drawn; /* a bar stands on the line */
};

/* Keeps `to` and `unit`. */
void progress_open(struct progress *p, FILE *to, const char *unit, uint64_t total);

void progress_loss(struct progress *p, double loss);     /* shown from the next update on */
void progress_update(struct progress *p, uint64_t done); /* so many of total, so far */

void progress_say(struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Leaves the last state on a line of its own. */
void progress_close(struct progress *p);

#endif
