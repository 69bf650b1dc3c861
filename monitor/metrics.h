/*
 * A board as Prometheus reads it: OpenMetrics 1.0, or the older text format 0.0.4 for whoever does
 * not ask for it. Runs that have ended are told for five minutes more, so that their last counts
 * are scraped.
 */
#ifndef MONITOR_METRICS_H
#define MONITOR_METRICS_H

#include "monitor/board.h"
#include "monitor/text.h"

enum metrics_format { METRICS_TEXT, METRICS_OPEN };

extern const char metrics_text_type[], metrics_open_type[]; /* as Content-Type has them */

void metrics_write(struct text *t, const struct board *b, enum metrics_format format);

#endif
