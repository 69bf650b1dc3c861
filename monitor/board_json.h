/*
 * A board as JSON, for the page and whoever else wants it. Times are seconds since the monitor's
 * start, counts sums since a run's start, "loss" null where it is not finite.
 *
 *     {"version", "n", "time", "unix", "rate", "interface",
 *      "node": {"name", "gpu", "sent", "received", "cpu", "ram_kb", "ram_total_kb", "swap_kb",
 *               "gpu_percent", "power_mw", "points": [[n, time, sent, received, cpu, ram_kb,
 *               gpu_percent, power_mw], ...]},
 *      "runs": [{"id", "prefix", "application", "suite", "node", "model", "live", "start_unix",
 *                "start", "end", "samples", "tasks", "loss", "parts": {"queue", ...} or null,
 *                "points": [[n, time, samples, tasks, loss, queue, forward, ...], ...]}, ...]}
 *
 * A point's parts are left out where the run tells none, the machine's last two where there is no
 * GPU.
 */
#ifndef MONITOR_BOARD_JSON_H
#define MONITOR_BOARD_JSON_H

#include "monitor/board.h"
#include "monitor/text.h"

void board_json(struct text *t, const struct board *b);

#endif
