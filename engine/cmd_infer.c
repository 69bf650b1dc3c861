/*
 * `infer` in the roles that read the data (aio, source, client), for classifiers: batches of the
 * test split, in order, again from its start where more are asked for than it holds. A request's
 * latency runs from the pictures in memory to the predictions at hand. The roles that listen are
 * serve.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/command.h"
#include "engine/infer_report.h"
#include "engine/monitoring.h"
#include "engine/progress.h"
#include "engine/serve.h"
#include "engine/setup.h"
#include "engine/signals.h"
#include "engine/upstream.h"
#include "models/weights.h"

struct inference {
    const struct config *c;
    struct model *model;
    struct dataset *ds;
    struct loader loader;
    struct node node;
    struct stream_plan plan;
    struct stream *stream;
    struct upstream upstream; /* of a role that has one */
    struct weights_writer *output;
    struct progress progress;
    struct monitor_client *monitor;
    struct infer_report report;
    uint64_t requests;   /* to be done */
    uint64_t sent, done; /* sent: and not lost again */
    uint64_t begun;      /* the most that were ever sent: a lost request's latency goes on */
    int32_t *labels;     /* in_flight batches of them: request r's are number r % in_flight */
    uint64_t *start_ns;  /* likewise */
};

static int check_model(const struct inference *f)
{
    const struct config *c = f->c;
    if (!f->model->boxes)
        return 0;
    return err_set(EINVAL,
                   "%s%s is not in this version, which infers classifiers: give --model M, one of "
                   "small, vgg11, vgg16, vgg19",
                   config_given(c, OPT_MODEL) ? "--model " : "infer's default model, ", c->model);
}

static int open_model(struct inference *f)
{
    const struct config *c = f->c;
    int ret = setup_node(&f->node, c, f->model);
    if (!ret)
        ret = setup_bind(&f->node, c);
    if (ret < 0)
        return ret;
    f->plan = (struct stream_plan){.batch = c->batch_size,
                                   .in_flight = c->in_flight,
                                   .wire = c->wire_dtype,
                                   .to_next = c->role->upstream,
                                   .seed = c->seed};
    ret = setup_not_words(stream_open(&f->stream, &f->node, &f->plan));
    f->upstream = (struct upstream){.node = &f->node,
                                    .stream = f->stream,
                                    .plan = &f->plan,
                                    .host = c->upstream.host,
                                    .port = c->upstream.port,
                                    .codec = c->codec};
    if (!ret && !c->weights && c->role->layers)
        setup_say(c, "The weights are fresh, so the accuracy is chance: give --weights FILE");
    return ret;
}

static uint64_t samples_in_all(const struct inference *f)
{
    uint64_t whole = f->requests / f->loader.batches, rest = f->requests % f->loader.batches;
    /* within a round only the last batch may be short, and `rest` never reaches it */
    return whole * f->ds->count + rest * (uint64_t)f->c->batch_size;
}

static int open_output(struct inference *f)
{
    if (!f->c->output)
        return 0;
    uint64_t rows = samples_in_all(f);
    if (rows > INT32_MAX)
        return err_set(EFBIG, "--output of %" PRIu64 " rows: at most %d, give fewer --inferences",
                       rows, INT32_MAX);
    struct tensor shape = tensor_f32(2, (int[]){(int)rows, f->model->classes});
    return setup_not_words(weights_writer_open(&f->output, f->c->output, "predictions", &shape));
}

static int open_counts(struct inference *f)
{
    size_t k = (size_t)f->c->in_flight;
    f->requests = f->c->inferences ? f->c->inferences : f->loader.batches;
    CHECK(f->requests > 0);
    f->labels = calloc(k * (size_t)f->c->batch_size, sizeof(*f->labels));
    f->start_ns = calloc(k, sizeof(*f->start_ns));
    if (!f->labels || !f->start_ns)
        return err_set(ENOMEM, "no memory for the labels of %d requests", f->c->in_flight);
    return infer_report_open(&f->report, f->requests, f->c->batch_size, f->c->json);
}

static int inference_open(struct inference *f, const struct config *c)
{
    bool open;
    *f = (struct inference){.c = c};
    int ret = setup_model(&f->model, c);
    if (!ret)
        ret = check_model(f);
    if (!ret)
        ret = setup_slice(f->model, c, &open);
    if (!ret && c->output)
        ret = setup_not_words(weights_writable(c->output));
    if (!ret)
        ret = setup_dataset(&f->ds, c, f->model, DATASET_TEST);
    if (!ret)
        ret = setup_not_words(loader_open(&f->loader, f->ds, c->batch_size, 0, false, c->seed));
    if (!ret)
        ret = open_counts(f);
    if (!ret)
        ret = open_model(f);
    return ret < 0 ? ret : open_output(f);
}

static void inference_close(struct inference *f)
{
    weights_writer_close(f->output);
    stream_close(f->stream);
    infer_report_close(&f->report);
    free(f->start_ns);
    free(f->labels);
    loader_close(&f->loader);
    dataset_close(f->ds);
    model_close(f->model);
    setup_node_close(&f->node);
}

static int32_t *labels_of(struct inference *f, uint64_t request)
{
    return f->labels + request % (uint64_t)f->c->in_flight * (uint64_t)f->c->batch_size;
}

static int send_request(struct inference *f)
{
    float *in;
    uint64_t request = f->sent, batch = request % f->loader.batches;
    int n = loader_samples(&f->loader, batch);
    int ret = stream_request(f->stream, &in);
    if (ret < 0)
        return ret;
    loader_read(&f->loader, 0, batch, 0, n, in, labels_of(f, request));
    if (request == f->begun) {
        f->start_ns[request % (uint64_t)f->c->in_flight] = clock_now_ns();
        f->begun++;
    }
    ret = stream_send(f->stream, (uint32_t)request, n);
    f->sent += ret == 0;
    return ret;
}

static int take_answer(struct inference *f)
{
    struct stream_answer answer;
    int ret = stream_answer(f->stream, &answer);
    if (ret < 0)
        return ret;
    double seconds = clock_seconds_since(f->start_ns[f->done % (uint64_t)f->c->in_flight]);
    infer_report_request(&f->report, &answer.out, labels_of(f, f->done), seconds);
    if (f->output)
        ret = setup_not_words(weights_writer_append(f->output, tensor_floats(&answer.out),
                                                    tensor_count(&answer.out)));
    monitor_batch(f->monitor, answer.out.dim[0], (double)NAN);
    stream_answer_done(f->stream);
    f->upstream.lost = 0;
    f->done++;
    return ret;
}

/* Requests until enough are done, or a signal ends them: then what is under way is waited for. */
static int run_requests(struct inference *f)
{
    const struct config *c = f->c;
    while (f->done < f->requests) {
        int ret = 0;
        bool more = f->sent < f->requests && !signals_pending();
        if (more && f->sent - f->done < (uint64_t)c->in_flight)
            ret = send_request(f);
        else if (f->sent > f->done)
            ret = take_answer(f);
        else
            break;
        if (ret < 0 && c->role->upstream) {
            f->sent = f->done;
            ret = upstream_again(&f->upstream, ret, f->done);
        }
        if (ret < 0)
            return setup_not_words(ret);
        progress_update(&f->progress, f->done);
    }
    return 0;
}

static void stop_net(void *arg)
{
    net_stop(arg);
}

/* Connected, requests made, ended. *seconds: of the requests alone. */
static int run_connected(struct inference *f, double *seconds)
{
    bool upstream = f->c->role->upstream;
    int ret = 0;
    if (upstream) {
        signals_call(stop_net, f->node.net);
        ret = setup_not_words(upstream_connect(&f->upstream, 0));
    }
    if (!ret) {
        progress_open(&f->progress, setup_messages(f->c), "inferences", f->requests);
        f->monitor = monitoring_open(f->c, f->model->name);
        uint64_t start = clock_now_ns();
        ret = run_requests(f);
        *seconds = clock_seconds_since(start);
        progress_close(&f->progress);
        monitor_client_close(f->monitor);
    }
    if (ret == -EINTR && signals_pending())
        ret = 0; /* while it waited for the next node */
    signals_call(NULL, NULL);
    if (!upstream)
        return ret;
    char sentence[1024]; /* why it ended, whatever becomes of closing */
    snprintf(sentence, sizeof(sentence), "%s", err_text());
    net_resume(f->node.net);
    upstream_close(&f->upstream);
    return ret < 0 ? err_set(-ret, "%s", sentence) : 0;
}

static int run(struct inference *f)
{
    const struct config *c = f->c;
    double seconds = 0;
    int ret = run_connected(f, &seconds);
    if (signals_pending())
        setup_say(c, "Stopped by signal %d after %" PRIu64 " requests", signals_pending(), f->done);
    struct infer_about about = {f->model->name, f->ds->name, c->weights};
    if (!ret && f->done)
        ret = infer_report_print(&f->report, &about, seconds);
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
