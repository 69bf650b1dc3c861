/* The prefix of a run's statistics, and when its benchmarks begin. */
#include "engine/monitoring.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "monitor/event.h"

static const double GAP_SECONDS = 30; /* as the original's workers */

void monitoring_prefix(char text[MONITORING_PREFIX_BYTES], const struct config *c,
                       const char *model, const char *more)
{
    char node[65] = "", prefix[512], clean[EVENT_PREFIX_BYTES];
    if (gethostname(node, sizeof(node) - 1) < 0 || !*node)
        strcpy(node, "node");
    bool learns = c->command == CMD_TRAIN;
    snprintf(prefix, sizeof(prefix), "benchmark_%s-%s-%s-%s-%" PRIu64 "-%d",
             learns ? "learning" : "inference", c->role->suite, node, model,
             learns ? c->epochs : c->inferences, c->batch_size);
    event_clean_prefix(clean, prefix);
    snprintf(text, MONITORING_PREFIX_BYTES, "%s%s", clean, more);
}

struct monitor_client *monitoring_open(const struct config *c, const char *model)
{
    char prefix[MONITORING_PREFIX_BYTES];
    if (!c->monitor)
        return NULL;
    monitoring_prefix(prefix, c, model, "");
    struct monitor_client_options opt = {.data_dir = c->data_dir,
                                         .prefix = prefix,
                                         .gap_seconds = c->role->listens ? GAP_SECONDS : 0};
    return monitor_client_open(&opt);
}
