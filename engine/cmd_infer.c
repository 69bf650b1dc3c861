/*
 * `infer` in the roles that read the data (aio, source, client): the requests, one after the other
 * or several under way at once. A request's latency runs from the pictures in memory to the
 * predictions at hand. The roles that listen are serve.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/command.h"
#include "engine/infer.h"
#include "engine/monitoring.h"
#include "engine/serve.h"
#include "engine/setup.h"
#include "engine/signals.h"

static int inference_open(struct inference *f, const struct config *c)
{
    bool open;
    *f = (struct inference){.c = c};
    f->reader.plan = (struct stream_plan){.in_flight = c->in_flight,
                                          .wire = c->wire_dtype,
                                          .to_next = c->role->upstream,
                                          .seed = c->seed,
                                          .rounds = (uint32_t)c->inferences};
    int ret = setup_share(&f->model, c, c->output, &open);
    if (ret < 0)
        return ret;
    f->kind = f->model->boxes ? &infer_boxes : &infer_classes;
    ret = f->kind->check_words(c);
    if (ret < 0)
        return ret;
    f->own = calloc(1, f->kind->own_bytes);
    f->start_ns = calloc((size_t)c->in_flight, sizeof(*f->start_ns));
    if (!f->own || !f->start_ns)
        return err_set(ENOMEM, "no memory for %d requests", c->in_flight);
    ret = f->kind->open(f);
    if (!ret)
        ret = reader_open(&f->reader, c, f->model);
    return ret < 0 ? ret : f->kind->open_output(f);
}

static void inference_close(struct inference *f)
{
    weights_writer_close(f->output);
    if (f->own)
        f->kind->close(f);
    free(f->own);
    free(f->start_ns);
    reader_close(&f->reader, f->model);
}

/* *own_ret: what is not the next node's fault. */
static int send_request(struct inference *f, int *own_ret)
{
    float *in;
    int n, ret = stream_request(f->reader.stream, &in);
    if (ret < 0)
        return ret;
    *own_ret = f->kind->fill(f, f->sent, in, &n);
    if (*own_ret < 0)
        return 0;
    if (f->sent == f->begun) {
        f->start_ns[f->sent % (uint64_t)f->c->in_flight] = clock_now_ns();
        f->begun++;
    }
    ret = stream_send(f->reader.stream, (uint32_t)f->sent, n);
    f->sent += ret == 0;
    return ret;
}

static int take_answer(struct inference *f, int *own_ret)
{
    struct stream_answer answer;
    int ret = stream_answer(f->reader.stream, &answer);
    if (ret < 0)
        return ret;
    double seconds = clock_seconds_since(f->start_ns[f->done % (uint64_t)f->c->in_flight]);
    *own_ret = f->kind->take(f, f->done, &answer, seconds);
    monitor_parts(f->monitor, answer.part_ns);
    monitor_batch(f->monitor, answer.samples, (double)NAN);
    step_times_note(f->times, answer.number, answer.part_ns);
    for (int i = 0; i < STEP_PART_COUNT; i++)
        f->part_ns[i] += answer.part_ns[i];
    stream_answer_done(f->reader.stream);
    f->reader.upstream.lost = 0;
    f->done++;
    return 0;
}

/* Requests until enough are done, or a signal ends them: then what is under way is waited for. */
static int run_requests(struct inference *f)
{
    const struct config *c = f->c;
    while (f->done < f->requests) {
        int ret = 0, own_ret = 0;
        bool more = f->sent < f->requests && !signals_pending();
        if (more && f->sent - f->done < (uint64_t)c->in_flight)
            ret = send_request(f, &own_ret);
        else if (f->sent > f->done)
            ret = take_answer(f, &own_ret);
        else
            break;
        if (ret < 0 && c->role->upstream) {
            f->sent = f->done;
            ret = upstream_again(&f->reader.upstream, ret, f->done);
        }
        if (ret == 0)
            ret = own_ret;
        if (ret < 0)
            return setup_not_words(ret);
        progress_update(&f->progress, f->done);
    }
    return 0;
}

/* Connected, requests made, ended. *seconds: of the requests alone. */
static int run_connected(struct inference *f, double *seconds)
{
    int ret = reader_connect(&f->reader);
    if (!ret) {
        progress_open(&f->progress, setup_messages(f->c), "inferences", f->requests);
        f->monitor = monitoring_open(f->c, f->model->name);
        f->times = step_times_open(f->c, f->model->name, f->monitor);
        uint64_t start = clock_now_ns();
        ret = run_requests(f);
        *seconds = clock_seconds_since(start);
        progress_close(&f->progress);
        step_times_close(f->times, monitor_client_close(f->monitor));
    }
    return reader_end(&f->reader, ret);
}

static int run(struct inference *f)
{
    const struct config *c = f->c;
    double seconds = 0;
    int ret = run_connected(f, &seconds);
    if (signals_pending())
        setup_say(c, "Stopped by signal %d after %" PRIu64 " requests", signals_pending(), f->done);
    if (!ret && f->done)
        ret = f->kind->print(f, seconds);
    char shares[STEP_SHARES_BYTES];
    if (!ret && f->done)
        setup_say(c, "Of a request: %s", step_shares(shares, f->part_ns));
    if (!ret && f->output && f->done == f->requests) {
        ret = setup_not_words(weights_writer_commit(f->output));
        if (!ret)
            setup_say(c, "Saved the predictions to %s", c->output);
    }
    return ret;
}

int cmd_infer(const struct config *c)
{
    if (c->role->listens)
        return serve(c);
    struct inference f;
    signals_catch();
    int ret = inference_open(&f, c);
    if (!ret)
        ret = run(&f);
    int signal = signals_pending();
    inference_close(&f);
    signals_release();
    if (signal && (ret == 0 || ret == -EINTR)) /* EINTR: it came before the first request */
        return 128 + signal;
    return ret;
}
