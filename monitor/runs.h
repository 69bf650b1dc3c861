/*
 * The runs that a monitor watches: from their events to the rows of their files. No sockets and no
 * clock of its own: the caller says what time it is.
 */
#ifndef MONITOR_RUNS_H
#define MONITOR_RUNS_H

#include "monitor/board.h"
#include "monitor/csv.h"
#include "monitor/event.h"
#include "monitor/host.h"

enum { RUNS_MAX = 64 };

struct run {
    bool live;
    char id[EVENT_ID_BYTES];
    struct csv csv;
    uint64_t start_ns, message_ns;   /* of the first row, of the last message */
    uint64_t bytes_sent, bytes_recv; /* the machine's at the first row */
    struct board_totals totals;
    int place; /* on the board */
};

struct runs {
    const char *data_dir, *interface; /* NULL: all */
    struct host *host;
    struct board *board; /* NULL: nobody looks */
    uint64_t begin_ns;   /* when the monitor began */
    uint64_t timeout_ns;
    struct run run[RUNS_MAX];
};

/* -errno and a sentence where the event is not followed: an unknown run without a prefix, too many
 * runs, a file that cannot be made. */
int runs_event(struct runs *r, const struct event *e, uint64_t now_ns);

/* A row for each run; ends those that were silent too long or whose file fails. */
void runs_sample(struct runs *r, uint64_t now_ns);

void runs_end(struct runs *r, uint64_t now_ns); /* all of them, after a last row */

#endif
