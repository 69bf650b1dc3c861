/*
 * `infer` in role aio, for classifiers: batches of the test split, in order, again from its start
 * where more are asked for than it holds. A request's latency runs from the pictures in memory to
 * the predictions at hand.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/command.h"
#include "engine/process.h"
#include "engine/progress.h"
#include "engine/setup.h"
#include "engine/signals.h"
#include "models/pass.h"
#include "models/weights.h"

struct inference {
    const struct config *c;
    struct device *dev;
    struct model *model;
    struct dataset *ds;
    struct loader loader;
    struct pass *pass;
    struct buffer images, labels;
    struct weights_writer *output;
    struct progress progress;
    uint64_t requests;  /* to be done */
    double *latency;    /* seconds, one a request */
    int32_t *predicted; /* of the request in progress */

    uint64_t done, samples, correct, not_finite; /* not_finite: samples with such a prediction */
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
    struct tensor in = model_crossing(f->model, 0, c->batch_size);
    int ret = setup_device(&f->dev, c);
    if (!ret)
        ret = setup_not_words(model_bind(f->model, f->dev, RUN_EVAL, MODEL_GRADS_NONE));
    if (!ret)
        ret = setup_weights(f->model, c);
    if (!ret)
        ret = buffer_open(&f->images, f->dev, PLACE_PINNED, tensor_bytes(&in), "a batch of images");
    if (!ret)
        ret = buffer_open(&f->labels, f->dev, PLACE_PINNED, (size_t)c->batch_size * sizeof(int32_t),
                          "a batch of labels");
    struct pass_ends ends = {.in = f->images.base};
    if (!ret)
        ret = setup_not_words(pass_open(&f->pass, f->model, RUN_EVAL, c->batch_size, &ends));
    if (!ret && !c->weights)
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

static int inference_open(struct inference *f, const struct config *c)
{
    *f = (struct inference){.c = c};
    int ret = setup_model(&f->model, c);
    if (!ret)
        ret = check_model(f);
    if (!ret)
        ret = setup_all_layers(f->model, c);
    if (!ret && c->output)
        ret = setup_not_words(weights_writable(c->output));
    if (!ret)
        ret = setup_dataset(&f->ds, c, f->model, DATASET_TEST);
    if (!ret)
        ret = setup_not_words(loader_open(&f->loader, f->ds, c->batch_size, 0, false, c->seed));
    if (ret < 0)
        return ret;
    f->requests = c->inferences ? c->inferences : f->loader.batches;
    CHECK(f->requests > 0);
    f->latency = calloc(f->requests, sizeof(*f->latency));
    f->predicted = calloc((size_t)c->batch_size, sizeof(*f->predicted));
    if (!f->latency || !f->predicted)
        return err_set(ENOMEM, "no memory for the latencies of %" PRIu64 " requests", f->requests);
    ret = open_model(f);
    return ret < 0 ? ret : open_output(f);
}

static void inference_close(struct inference *f)
{
    weights_writer_close(f->output);
    pass_close(f->pass);
    buffer_close(&f->labels);
    buffer_close(&f->images);
    loader_close(&f->loader);
    dataset_close(f->ds);
    model_close(f->model);
    device_close(f->dev);
    free(f->predicted);
    free(f->latency);
}

/* The class of the largest value; the first of equals. *finite: whether all of them are. */
static int32_t top1(const float *logits, int classes, bool *finite)
{
    int32_t best = 0;
    *finite = true;
    for (int i = 0; i < classes; i++) {
        *finite = *finite && isfinite(logits[i]);
        if (logits[i] > logits[best] || (isnan(logits[best]) && !isnan(logits[i])))
            best = i;
    }
    return best;
}

static void print_list(const char *name, const int32_t *v, int n)
{
    printf(",\"%s\":[", name);
    for (int i = 0; i < n; i++)
        printf("%s%" PRId32, i ? "," : "", v[i]);
    putchar(']');
}

static int request(struct inference *f)
{
    uint64_t batch = f->done % f->loader.batches;
    int n = loader_samples(&f->loader, batch);
    const int32_t *labels = f->labels.base;
    loader_read(&f->loader, 0, batch, 0, n, f->images.base, f->labels.base);

    uint64_t start = clock_now_ns();
    pass_set(f->pass, n, f->c->seed, 0, 0);
    pass_forward(f->pass);
    int ret = device_sync(f->dev);
    if (ret < 0)
        return setup_not_words(ret);
    const struct tensor *out = pass_out(f->pass);
    uint64_t correct = 0;
    for (int i = 0; i < n; i++) {
        bool finite;
        const float *row = tensor_floats(out) + (size_t)i * tensor_row(out);
        f->predicted[i] = top1(row, f->model->classes, &finite);
        f->not_finite += !finite;
        correct += f->predicted[i] == labels[i] && finite;
    }
    f->latency[f->done++] = clock_seconds_since(start);

    f->samples += (uint64_t)n;
    f->correct += correct;
    if (f->c->json) {
        printf("{\"request\":%" PRIu64 ",\"samples\":%d,\"correct\":%" PRIu64
               ",\"latency_ms\":%.6g",
               f->done, n, correct, 1e3 * f->latency[f->done - 1]);
        print_list("predictions", f->predicted, n);
        print_list("labels", labels, n);
        puts("}");
    }
    if (f->output)
        ret = weights_writer_append(f->output, tensor_floats(out), tensor_count(out));
    return setup_not_words(ret);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The smallest latency that at least this share of the requests did not exceed, in ms. */
static double latency_ms(const struct inference *f, double share)
{
    uint64_t rank = (uint64_t)ceil(share * (double)f->done);
    return 1e3 * f->latency[rank ? rank - 1 : 0];
}

static int summarize_json(const struct inference *f, double seconds)
{
    json_t *s =
        json_pack("{s:{s:s,s:s,s:I,s:I,s:I,s:f,s:I,s:f,s:f,s:f,s:s?,s:I}}", "summary", "model",
                  f->model->name, "dataset", f->ds->name, "requests", (json_int_t)f->done,
                  "samples", (json_int_t)f->samples, "correct", (json_int_t)f->correct, "accuracy",
                  (double)f->correct / (double)f->samples, "not_finite", (json_int_t)f->not_finite,
                  "latency_ms_median", latency_ms(f, 0.5), "latency_ms_p99", latency_ms(f, 0.99),
                  "samples_per_second", (double)f->samples / seconds, "weights", f->c->weights,
                  "peak_memory_bytes", (json_int_t)process_peak_bytes());
    if (!s)
        return err_set(ENOMEM, "no memory for the summary, or the name of a file is not UTF-8");
    json_dumpf(s, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(s);
    return 0;
}

static int summarize(struct inference *f, double seconds)
{
    qsort(f->latency, f->done, sizeof(*f->latency), by_size);
    if (f->c->json)
        return summarize_json(f, seconds);
    printf("top-1 accuracy %.2f %% (%" PRIu64 " of %" PRIu64 ")\n",
           100 * (double)f->correct / (double)f->samples, f->correct, f->samples);
    if (f->not_finite)
        printf("%" PRIu64 " samples have predictions that are not finite: they count as wrong\n",
               f->not_finite);
    printf("%" PRIu64 " requests in %.2f s: latency median %.3f ms, p99 %.3f ms; %.1f samples/s\n",
           f->done, seconds, latency_ms(f, 0.5), latency_ms(f, 0.99), (double)f->samples / seconds);
    printf("Peak memory %.0f MiB\n", (double)process_peak_bytes() / (1 << 20));
    return 0;
}

static int run(struct inference *f)
{
    int ret = 0;
    progress_open(&f->progress, setup_messages(f->c), "inferences", f->requests);
    uint64_t start = clock_now_ns();
    while (!ret && f->done < f->requests && !signals_pending()) {
        ret = request(f);
        progress_update(&f->progress, f->done);
    }
    double seconds = clock_seconds_since(start);
    progress_close(&f->progress);
    if (!ret && f->done)
        ret = summarize(f, seconds);
    if (!ret && f->output && f->done == f->requests) {
        ret = setup_not_words(weights_writer_commit(f->output));
        if (!ret)
            setup_say(f->c, "Saved the predictions to %s", f->c->output);
    }
    return ret;
}

int cmd_infer(const struct config *c)
{
    if (c->role->listens || c->role->upstream)
        return err_set(EINVAL, "role %s is not in this version: --role aio is", c->role->name);
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
