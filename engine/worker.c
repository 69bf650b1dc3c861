/*
 * The worker's loop over its sessions. A session is one neighbour's stream; it waits for the next
 * node first, is accepted then, and lives until its neighbour ends it or either side fails. Runs in
 * the thread that owns the device; the transport's thread moves frames meanwhile.
 */
#include "engine/worker.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/greeting.h"
#include "engine/process.h"
#include "models/weights.h"

enum { MAX_SESSIONS = 16 };

struct session {
    struct stream *stream; /* NULL: this entry is free */
    struct stream_plan plan;
    struct channel *prev, *next;
    bool running;                      /* accepted; until then it waits for the next node */
    uint64_t steps, samples, start_ns; /* steps: of an inference, requests answered */
    uint64_t part_ns[STEP_PART_COUNT]; /* of all of them */
};

struct worker {
    struct node *node;
    const struct worker_options *opt;
    struct session session[MAX_SESSIONS];
    uint64_t saved_steps; /* node->steps when the weights were last saved */
};

static int save(struct worker *w)
{
    if (!w->opt->save || w->saved_steps == w->node->steps)
        return 0;
    int ret = weights_save(w->node->model, w->opt->save);
    if (ret < 0)
        return ret;
    w->saved_steps = w->node->steps;
    log_info("worker", "Saved weights after %llu steps to %s", (unsigned long long)w->node->steps,
             w->opt->save);
    return 0;
}

static void session_free(struct session *x)
{
    channel_close(x->prev);
    channel_close(x->next);
    stream_close(x->stream);
    *x = (struct session){0};
}

static const char *unit(const struct session *x)
{
    return x->plan.in_flight > 0 ? "requests" : "steps";
}

/* The sentence of err.h goes to the log and to both neighbours. */
static void session_fail(struct session *x)
{
    char sentence[WIRE_SENTENCE_MAX];
    snprintf(sentence, sizeof(sentence), "%s", err_text());
    log_warning("worker", "Stream of %s ended after %llu %s: %s", channel_peer(x->prev),
                (unsigned long long)x->steps, unit(x), sentence);
    if (x->running)
        channel_fail(x->prev, sentence);
    if (x->next)
        channel_fail(x->next, sentence);
    if (!x->running) {
        channel_refuse(x->prev, ANSWER_REFUSE, sentence);
        x->prev = NULL;
    }
    session_free(x);
}

static void session_end(struct session *x)
{
    double s = clock_seconds_since(x->start_ns);
    log_info("worker", "Stream of %s ended: %llu %s, %llu samples in %.1f s (%.1f samples/s)",
             channel_peer(x->prev), (unsigned long long)x->steps, unit(x),
             (unsigned long long)x->samples, s, s > 0 ? (double)x->samples / s : 0);
    char shares[STEP_SHARES_BYTES];
    if (x->steps)
        log_info("worker", "Of a %s: %s", x->plan.in_flight ? "request" : "step",
                 step_shares(shares, x->part_ns));
    channel_end(x->prev);
    if (x->next)
        channel_end(x->next);
    session_free(x);
}

static void session_accept(struct worker *w, struct session *x)
{
    struct answer a = greeting_accept(w->node);
    struct channel_rings rings = stream_prev_rings(x->stream);
    channel_accept(x->prev, &a, &rings);
    stream_set_channels(x->stream, x->prev, x->next);
    if (w->opt->begins)
        w->opt->begins(w->opt->arg, &x->plan);
    x->running = true;
    x->start_ns = clock_now_ns();
    if (x->plan.in_flight > 0)
        log_info("worker", "Stream of %s begins: requests of %d samples, %d under way at once",
                 channel_peer(x->prev), x->plan.batch, x->plan.in_flight);
    else
        log_info("worker", "Stream of %s begins: batches of %d in %d micro-batches",
                 channel_peer(x->prev), x->plan.batch, x->plan.micro_batches);
}

/* A neighbour's batch size must not make the kernel kill this worker: the stream's memory is
 * reserved, but not touched yet. */
static int check_memory(const struct stream *s)
{
    size_t wants = stream_host_bytes(s), has = process_available_bytes();
    if (has == 0 || wants <= has)
        return 0;
    return err_set(ENOMEM,
                   "a stream of this batch size takes %zu MiB, this node has %zu MiB left: use a "
                   "smaller batch",
                   wants >> 20, has >> 20);
}

/* Where this stream's gradients go; another may want them elsewhere. */
static int set_grads(struct worker *w, const struct session *x)
{
    struct node *n = w->node;
    if (w->opt->infers)
        return 0;
    return model_set_grads(n->model, sgd_grads(&n->sgd, x->plan.micro_batches));
}

/* Memory for the stream, and the way on to the next node. */
static int session_open(struct worker *w, struct session *x, const struct hello *h)
{
    const struct worker_options *opt = w->opt;
    struct node *node = w->node;
    x->plan = (struct stream_plan){
        .batch = (int)h->batch,
        .micro_batches = (int)h->micro_batches,
        .in_flight = opt->infers ? (int)h->in_flight : 0,
        .wire = greeting_dtype(h->dtype),
        .from_prev = true,
        .to_next = opt->next_host != NULL,
        .gradient_to_prev = h->want_gradient,
        .seed = h->seed,
        .rounds = h->rounds,
        .boxes = opt->infers && node->model->boxes && h->answer == HELLO_BOXES,
        .limits = {h->conf, h->nms},
    };
    if (x->plan.boxes && x->plan.batch != 1)
        return err_set(EPROTO,
                       "upstream wants boxes of %d pictures a request, this node finds "
                       "those of one",
                       x->plan.batch);
    int ret = set_grads(w, x);
    if (ret == 0)
        ret = stream_open(&x->stream, node, &x->plan);
    const char *news = ret ? NULL : choices_news(node->choices, node->dev);
    if (news)
        log_info("worker", "%s", news);
    if (ret == 0)
        ret = check_memory(x->stream);
    if (ret < 0 || !opt->next_host)
        return ret;
    struct hello mine = greeting_hello(node, x->stream, &x->plan, opt->codec, h->step);
    struct channel_rings rings = stream_next_rings(x->stream);
    return channel_connect(&x->next, node->net, opt->next_host, opt->next_port, &mine, &rings);
}

/* A node that was not told its layers takes those that its first neighbour leaves to it. */
static int bind_behind(struct worker *w, const struct hello *h, struct hello_want *want)
{
    const struct model *m = w->node->model;
    if (m->dev)
        return 0;
    int from = (int)h->layer_to;
    if (from != 0 && !(from < m->nlayer && model_cut_legal(m, from)))
        return err_set(EINVAL, "%s cannot be cut before layer %d", m->name, from);
    want->layer_from = h->layer_to;
    want->ndim = 0;
    int ret = hello_check(h, want);
    return ret < 0 ? ret : w->opt->bind(w->opt->arg, from);
}

static int check_and_open(struct worker *w, struct session *x, const struct hello *h)
{
    const struct worker_options *opt = w->opt;
    enum hello_mode mode = opt->infers ? HELLO_INFER : HELLO_TRAIN;
    struct hello_want want =
        greeting_want(w->node, mode, opt->batch, opt->micro_batches, opt->wire, opt->codec);
    int ret = bind_behind(w, h, &want);
    if (ret < 0)
        return ret;
    want = greeting_want(w->node, mode, opt->batch, opt->micro_batches, opt->wire, opt->codec);
    ret = hello_check(h, &want);
    if (ret < 0)
        return ret;
    if (opt->in_flight && h->in_flight != (uint32_t)opt->in_flight)
        return err_set(EPROTO, "upstream has %u requests under way at once, this node %d",
                       h->in_flight, opt->in_flight);
    return session_open(w, x, h);
}

static void admit(struct worker *w, struct channel *c)
{
    struct session *x = w->session;
    while (x < w->session + MAX_SESSIONS && x->stream)
        x++;
    if (x == w->session + MAX_SESSIONS) {
        channel_refuse(c, ANSWER_BUSY, "this worker serves as many streams as it can, try later");
        return;
    }
    if (check_and_open(w, x, channel_hello(c)) < 0) {
        log_warning("worker", "Refused %s: %s", channel_peer(c), err_text());
        channel_close(x->next);
        stream_close(x->stream);
        *x = (struct session){0};
        channel_refuse(c, ANSWER_REFUSE, err_text());
        return;
    }
    x->prev = c;
    if (!x->next)
        session_accept(w, x);
}

/* A step if one is there: 1. Nothing to do: 0. -errno: the stream is over. */
static int train(struct worker *w, struct session *x, int *log_error)
{
    struct step_result result;
    int ret = stream_ready(x->stream);
    if (ret != 1)
        return ret;
    ret = set_grads(w, x);
    if (ret == 0)
        ret = stream_step(x->stream, NULL, &result);
    if (ret != 0)
        return ret;
    monitor_parts(w->opt->monitor, result.part_ns);
    monitor_task(w->opt->monitor, 1, result.samples, result.loss_sum / result.samples);
    step_times_note(w->opt->times, result.step, result.part_ns);
    for (int i = 0; i < STEP_PART_COUNT; i++)
        x->part_ns[i] += result.part_ns[i];
    x->steps++;
    x->samples += (uint64_t)result.samples;
    if (w->opt->log)
        *log_error = loss_log_row(w->opt->log, result.step + 1, result.loss_sum / result.samples);
    return 1;
}

/* As train, one request one step on. */
static int serve(struct worker *w, struct session *x)
{
    struct stream_served served;
    int ret = stream_serve(x->stream, &served);
    if (ret == 1) {
        if (served.requests) {
            for (int i = 0; i < STEP_PART_COUNT; i++)
                x->part_ns[i] += served.part_ns[i];
            monitor_parts(w->opt->monitor, served.part_ns);
            monitor_task(w->opt->monitor, served.requests, served.samples, (double)NAN);
            step_times_note(w->opt->times, served.number, served.part_ns);
        }
        x->steps += (uint64_t)served.requests;
        x->samples += (uint64_t)served.samples;
    }
    return ret;
}

/* A step or request if one is there: 1. Nothing to do: 0. The session is over: also 1. -errno: the
 * worker itself cannot go on. */
static int session_work(struct worker *w, struct session *x)
{
    int log_error = 0;
    if (!x->running) {
        if (channel_state(x->prev) == CHANNEL_FAILED) {
            err_set(ECONNRESET, "%s", channel_error_text(x->prev));
            session_fail(x);
            return 1;
        }
        int ret = channel_wait_open(x->next, 0);
        if (ret == -ETIMEDOUT || ret == -EINTR)
            return 0;
        if (ret == 0)
            session_accept(w, x);
        else
            session_fail(x);
        return 1;
    }
    int ret = w->opt->infers ? serve(w, x) : train(w, x, &log_error);
    if (ret == -ENODATA)
        session_end(x);
    else if (ret < 0)
        session_fail(x);
    else
        return log_error < 0 ? log_error : ret;
    ret = save(w);
    return ret < 0 ? ret : 1;
}

/* One turn over offers and sessions: 1 if anything was done. */
static int turn(struct worker *w)
{
    int worked = 0;
    for (struct channel *c; (c = net_offered(w->node->net)) != NULL; worked = 1)
        admit(w, c);
    for (int i = 0; i < MAX_SESSIONS; i++) {
        if (!w->session[i].stream)
            continue;
        int ret = session_work(w, &w->session[i]);
        if (ret < 0)
            return ret;
        worked |= ret;
        if (net_stopping(w->node->net))
            break;
    }
    return worked;
}

static void end_sessions(struct worker *w)
{
    net_resume(w->node->net);
    for (int i = 0; i < MAX_SESSIONS; i++) {
        struct session *x = &w->session[i];
        if (!x->stream)
            continue;
        err_set(ECANCELED, "this worker is being stopped");
        session_fail(x);
    }
}

int worker_run(struct node *node, const struct worker_options *opt)
{
    struct worker w = {.node = node, .opt = opt};
    int ret = net_listen(node->net, opt->listen_host, opt->listen_port);
    if (ret < 0)
        return ret;
    log_info("worker", "RX pipe listening on %s:%d", opt->listen_host, net_port(node->net));
    if (opt->next_host)
        log_info("worker", "Task deployer using upstream %s:%d", opt->next_host, opt->next_port);
    while (ret >= 0 && !net_stopping(node->net)) {
        ret = turn(&w);
        if (ret == 0)
            ret = net_wait(node->net, -1);
    }
    if (ret == -EINTR)
        ret = 0;
    char sentence[1024];
    snprintf(sentence, sizeof(sentence), "%s", err_text());
    end_sessions(&w);
    if (ret < 0) /* why it ends must not be covered by how its streams end */
        return err_set(-ret, "%s", sentence);
    return save(&w);
}
