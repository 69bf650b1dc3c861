/*
 * `train` and `infer` in the roles that listen, intermediate and final: everything that can be
 * checked is checked first; then it serves until a signal ends it, and where it trains, the weights
 * are saved.
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "engine/monitoring.h"
#include "engine/serve.h"
#include "engine/setup.h"
#include "engine/signals.h"
#include "engine/worker.h"

struct serving {
    const struct config *c;
    struct model *model;
    struct node node;
    struct loss_log log;
    struct monitor_client *monitor;
    struct step_times *times;
};

static int bind_from(void *arg, int from)
{
    struct serving *s = arg;
    int ret = model_slice(s->model, from, s->model->nlayer);
    if (ret == 0)
        ret = setup_bind(&s->node, s->c);
    if (ret == 0)
        setup_say(s->c, "Layers %d:%d of %s, what the first neighbour leaves", from,
                  s->model->nlayer, s->model->name);
    return ret;
}

/* Statistics are named after what the neighbour that brings the work says of it. */
static void stream_begins(void *arg, const struct stream_plan *plan)
{
    struct serving *s = arg;
    char prefix[EVENT_PREFIX_BYTES];
    monitoring_prefix(prefix, s->c, s->model->name, plan->rounds, plan->batch);
    monitor_begin(s->monitor, prefix);
    step_times_rename(s->times, prefix);
}

static int serving_open(struct serving *s, const struct config *c, bool *open)
{
    *s = (struct serving){.c = c, .log.fd = -1};
    int ret = setup_share(&s->model, c, c->save, open);
    if (!ret)
        ret = setup_node(&s->node, c, s->model);
    if (!ret && !*open)
        ret = setup_bind(&s->node, c);
    if (!ret)
        ret = setup_not_words(loss_log_open(&s->log, c->log));
    return ret;
}

static void stop_net(void *arg)
{
    net_stop(arg);
}

int serve(const struct config *c)
{
    struct serving s;
    bool open;
    signals_catch();
    int ret = serving_open(&s, c, &open);
    if (!ret) {
        s.monitor = monitoring_open(c, s.model->name);
        s.times = step_times_open(c, s.model->name, s.monitor);
        struct worker_options opt = {
            .listen_host = c->listen.host,
            .listen_port = c->listen.port,
            .next_host = c->role->upstream ? c->upstream.host : NULL,
            .next_port = c->upstream.port,
            .infers = c->command == CMD_INFER,
            .batch = config_given(c, OPT_BATCH_SIZE) ? c->batch_size : 0,
            .micro_batches = config_given(c, OPT_MICRO_BATCHES) ? c->micro_batches : 0,
            .in_flight = config_given(c, OPT_IN_FLIGHT) ? c->in_flight : 0,
            .wire = config_given(c, OPT_WIRE_DTYPE) ? (int)c->wire_dtype : -1,
            .codec = c->codec,
            .save = c->save,
            .log = c->log ? &s.log : NULL,
            .monitor = s.monitor,
            .times = s.times,
            .bind = bind_from,
            .begins = stream_begins,
            .arg = &s,
        };
        signals_call(stop_net, s.node.net);
        ret = setup_not_words(worker_run(&s.node, &opt));
        signals_call(NULL, NULL);
        step_times_close(s.times, monitor_client_close(s.monitor));
    }
    int closed = setup_not_words(loss_log_close(&s.log));
    int signal = signals_pending();
    model_close(s.model);
    setup_node_close(&s.node);
    signals_release();
    ret = ret < 0 ? ret : closed;
    return ret < 0 ? ret : signal ? 128 + signal : 0;
}
