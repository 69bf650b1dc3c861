/* The prefix of a run's statistics, and when its benchmarks begin. */
#include "engine/monitoring.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/stream.h"
#include "monitor/event.h"

static const double GAP_SECONDS = 30; /* as the original's workers */

_Static_assert((int)STEP_QUEUE == EVENT_QUEUE && (int)STEP_FORWARD == EVENT_FORWARD &&
                   (int)STEP_BACKWARD == EVENT_BACKWARD && (int)STEP_SEND == EVENT_SEND &&
                   (int)STEP_WAIT == EVENT_WAIT && (int)STEP_PART_COUNT == EVENT_PART_COUNT,
               "a step's parts are an event's parts");

static struct event_about about(const struct config *c, const char *model)
{
    char host[EVENT_ABOUT_BYTES] = "";
    struct event_about a = {.node = ""};
    if (c->node_name)
        snprintf(host, sizeof(host), "%s", c->node_name);
    else if (gethostname(host, sizeof(host) - 1) < 0 || !*host)
        strcpy(host, "node");
    strcpy(a.application, c->command == CMD_TRAIN ? "learning" : "inference");
    event_clean(a.suite, sizeof(a.suite), c->role->suite);
    event_clean(a.node, sizeof(a.node), host);
    event_clean(a.model, sizeof(a.model), model);
    return a;
}

uint64_t monitoring_rounds(const struct config *c)
{
    return c->command == CMD_TRAIN ? c->epochs : c->inferences;
}

void monitoring_prefix(char text[EVENT_PREFIX_BYTES], const struct config *c, const char *model,
                       uint64_t rounds, int batch_size)
{
    char prefix[512];
    struct event_about a = about(c, model);
    snprintf(prefix, sizeof(prefix), "benchmark_%s-%s-%s-%s-%" PRIu64 "-%d", a.application, a.suite,
             a.node, a.model, rounds, batch_size);
    event_clean(text, EVENT_PREFIX_BYTES, prefix);
}

struct monitor_client *monitoring_open(const struct config *c, const char *model)
{
    char prefix[EVENT_PREFIX_BYTES];
    if (!c->monitor)
        return NULL;
    monitoring_prefix(prefix, c, model, monitoring_rounds(c), c->batch_size);
    struct monitor_client_options opt = {.data_dir = c->data_dir,
                                         .prefix = prefix,
                                         .about = about(c, model),
                                         .gap_seconds = c->role->listens ? GAP_SECONDS : 0};
    return monitor_client_open(&opt);
}
