/*
 * What the steps of a run, or its requests, spend their time on: sums for its summary, a row each
 * in DATA_DIR/stats/{prefix}-steps-%Y%m%d-%H%M%S.csv with the columns
 * step,timestamp,queue,forward,backward,send,wait in seconds; timestamp is the step's end. Rows are
 * kept in fixed memory and written when it is full and at the end, where a monitor watches the run;
 * where none does, the oldest are dropped.
 *
 *     struct step_times *t = step_times_open(&config, "small", client);
 *     while (...)
 *         step_times_note(t, result.step, result.part_ns);
 *     step_times_close(t, monitor_client_close(client));
 */
#ifndef ENGINE_STEP_TIMES_H
#define ENGINE_STEP_TIMES_H

#include <stddef.h>

#include "engine/config.h"
#include "engine/stream.h"
#include "monitor/client.h"

struct step_times;

/* Keeps client. NULL where that is NULL, or for want of memory, said in a log line: all calls take
 * it. */
struct step_times *step_times_open(const struct config *c, const char *model,
                                   const struct monitor_client *client);

/* watched: a monitor has answered until the client was closed. */
void step_times_close(struct step_times *t, bool watched);

/* Allocates nothing; writes once in thousands of steps. */
void step_times_note(struct step_times *t, uint32_t step, const uint64_t part_ns[STEP_PART_COUNT]);

/* What is noted from now on goes into a file of another prefix; the same again: nothing happens. */
void step_times_rename(struct step_times *t, const char *prefix);

/* These sums as "queue 1.0 %, forward 30.2 %, backward 60.1 %, send 0.1 %, wait 8.6 %"; parts that
 * took no time are left out. */
enum { STEP_SHARES_BYTES = 128 };
const char *step_shares(char text[STEP_SHARES_BYTES], const uint64_t part_ns[STEP_PART_COUNT]);

#endif
