/*
 * `train` in the roles that read the data: aio, source, client. Everything that can be checked is
 * checked before the first step; a signal ends the run after the step in progress, and the weights
 * are saved all the same. The roles that listen are serve.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/command.h"
#include "engine/loss_log.h"
#include "engine/monitoring.h"
#include "engine/process.h"
#include "engine/progress.h"
#include "engine/reader.h"
#include "engine/serve.h"
#include "engine/setup.h"
#include "engine/signals.h"
#include "engine/step_times.h"
#include "models/weights.h"

struct training {
    const struct config *c;
    struct model *model;
    struct dataset *ds;
    struct loader loader;
    struct reader reader;
    struct feed feed; /* the step in progress: its epoch, its batch */
    struct loss_log log;
    struct progress progress;
    struct monitor_client *monitor;
    struct step_times *times;
    uint64_t part_ns[STEP_PART_COUNT]; /* of all steps */
    int log_error;                     /* ends the run, but what was learned is kept */

    uint64_t samples, steps;
    double first_loss, last_loss;
    uint64_t not_finite, first_not_finite; /* steps with such a loss; the first one's number */
    uint64_t first_step_ns;                /* when the first step began */
};

static int open_data(struct training *t)
{
    const struct config *c = t->c;
    int ret = setup_dataset(&t->ds, c, t->model, DATASET_TRAIN);
    if (!ret)
        ret = setup_not_words(
            loader_open(&t->loader, t->ds, c->batch_size, c->batches, c->shuffle, c->seed));
    if (!ret && t->loader.batches > UINT32_MAX / c->epochs)
        ret = err_set(EINVAL, "--epochs %" PRIu64 " of %" PRIu64 " batches are more than %u steps",
                      c->epochs, t->loader.batches, UINT32_MAX);
    return ret;
}

static int training_open(struct training *t, const struct config *c)
{
    *t = (struct training){.c = c, .log.fd = -1};
    t->reader.plan = (struct stream_plan){.batch = c->batch_size,
                                          .micro_batches = c->micro_batches,
                                          .wire = c->wire_dtype,
                                          .to_next = c->role->upstream,
                                          .seed = c->seed,
                                          .rounds = (uint32_t)c->epochs};
    bool open;
    int ret = setup_share(&t->model, c, c->save, &open);
    if (!ret)
        ret = open_data(t);
    if (!ret)
        ret = reader_open(&t->reader, c, t->model);
    if (!ret)
        ret = setup_not_words(loss_log_open(&t->log, c->log)); /* last: it empties the file */
    return ret;
}

static void training_close(struct training *t)
{
    loss_log_close(&t->log);
    reader_close(&t->reader, t->model);
    loader_close(&t->loader);
    dataset_close(t->ds);
}

static void note_loss(struct training *t, double loss)
{
    if (!t->steps)
        t->first_loss = loss;
    t->last_loss = loss;
    t->steps++;
    progress_loss(&t->progress, loss);
    if (isfinite(loss) || t->not_finite++)
        return;
    t->first_not_finite = t->steps;
    progress_say(&t->progress, "The loss of step %" PRIu64 " is %g: is --lr %g too high?", t->steps,
                 loss, (double)t->c->lr);
    if (t->c->quiet)
        log_warning("train", "the loss of step %" PRIu64 " is %g: is --lr %g too high?", t->steps,
                    loss, (double)t->c->lr);
}

/* One step, counted and logged. *loss_sum: over its samples, for the epoch's mean. */
static int train_step(struct training *t, double *loss_sum)
{
    struct step_result result;
    t->feed.step = (uint32_t)t->steps;
    int ret = t->c->role->upstream ? upstream_step(&t->reader.upstream, &t->feed, &result)
                                   : stream_step(t->reader.stream, &t->feed, &result);
    if (ret < 0)
        return setup_not_words(ret);
    double loss = result.loss_sum / result.samples;
    note_loss(t, loss);
    monitor_parts(t->monitor, result.part_ns);
    monitor_batch(t->monitor, result.samples, loss);
    step_times_note(t->times, result.step, result.part_ns);
    for (int i = 0; i < STEP_PART_COUNT; i++)
        t->part_ns[i] += result.part_ns[i];
    t->samples += (uint64_t)result.samples;
    *loss_sum += result.loss_sum;
    progress_update(&t->progress, t->samples);
    t->log_error = setup_not_words(loss_log_row(&t->log, t->steps, loss));
    return 0;
}

static bool stopping(const struct training *t)
{
    return signals_pending() || t->log_error < 0;
}

static int train_epoch(struct training *t)
{
    double loss_sum = 0;
    uint64_t samples = t->samples, start = clock_now_ns();
    int ret = 0;
    struct feed *f = &t->feed;
    for (f->batch = 0; !ret && f->batch < t->loader.batches && !stopping(t); f->batch++)
        ret = train_step(t, &loss_sum);
    samples = t->samples - samples;
    if (!ret && samples)
        progress_say(&t->progress,
                     "Epoch %" PRIu64 " of %" PRIu64 ": mean loss %.6g, %.1f samples/s",
                     t->feed.epoch + 1, t->c->epochs, loss_sum / (double)samples,
                     (double)samples / clock_seconds_since(start));
    return ret;
}

static uint64_t samples_in_all(const struct training *t)
{
    uint64_t full = t->loader.batches - 1; /* only the last may be short */
    return t->c->epochs *
           (full * (uint64_t)t->c->batch_size + (uint64_t)loader_samples(&t->loader, full));
}

static void summarize(const struct training *t, double seconds)
{
    printf("Trained %" PRIu64 " samples in %.2f s, %.1f samples/s; loss %.6g at first, %.6g at "
           "last\n",
           t->samples, seconds, (double)t->samples / seconds, t->first_loss, t->last_loss);
    if (t->not_finite)
        printf("The loss was not finite in %" PRIu64 " of %" PRIu64 " steps, first in step %" PRIu64
               ": is --lr %g too high?\n",
               t->not_finite, t->steps, t->first_not_finite, (double)t->c->lr);
    char shares[STEP_SHARES_BYTES];
    printf("Of a step: %s\n", step_shares(shares, t->part_ns));
    printf("First step %.2f s after the start; peak memory %.0f MiB\n",
           1e-9 * (double)(t->first_step_ns - t->c->started_ns),
           (double)process_peak_bytes() / (1 << 20));
}

static int save(const struct training *t)
{
    if (!t->c->save || t->model->to == t->model->from)
        return 0;
    if (!t->steps) {
        setup_say(t->c, "No step was done: %s stays as it was", t->c->save);
        return 0;
    }
    int ret = weights_save(t->model, t->c->save);
    if (!ret)
        setup_say(t->c, "Saved the weights to %s", t->c->save);
    return setup_not_words(ret);
}

/* Steps until the epochs, or a signal, end them. *seconds: of the steps alone. */
static int run_epochs(struct training *t, double *seconds)
{
    int ret = 0;
    struct feed *f = &t->feed;
    f->loader = &t->loader;
    f->epochs = t->c->epochs;
    progress_open(&t->progress, setup_messages(t->c), "samples", samples_in_all(t));
    t->monitor = monitoring_open(t->c, t->model->name);
    t->times = step_times_open(t->c, t->model->name, t->monitor);
    t->first_step_ns = clock_now_ns();
    for (f->epoch = 0; !ret && f->epoch < t->c->epochs && !stopping(t); f->epoch++)
        ret = train_epoch(t);
    *seconds = clock_seconds_since(t->first_step_ns);
    progress_close(&t->progress);
    step_times_close(t->times, monitor_client_close(t->monitor));
    return ret;
}

static int run(struct training *t)
{
    double seconds = 0;
    bool upstream = t->c->role->upstream;
    int ret = reader_connect(&t->reader);
    if (!ret)
        ret = run_epochs(t, &seconds);
    ret = reader_end(&t->reader, ret);
    char sentence[1024]; /* why it ended, whatever becomes of saving */
    snprintf(sentence, sizeof(sentence), "%s", err_text());
    int closed = setup_not_words(loss_log_close(&t->log));
    if (signals_pending())
        setup_say(t->c, "Stopped by signal %d after %" PRIu64 " steps", signals_pending(),
                  t->steps);
    if (t->steps)
        summarize(t, seconds);
    if (ret < 0 && !upstream)
        return err_set(-ret, "%s",
                       sentence); /* the device failed: what the weights are now is unknown */
    int saved = save(t);
    if (ret < 0)
        return err_set(-ret, "%s", sentence);
    return saved < 0 ? saved : t->log_error < 0 ? t->log_error : closed;
}

int cmd_train(const struct config *c)
{
    if (c->role->listens)
        return serve(c);
    struct training t;
    signals_catch();
    int ret = training_open(&t, c);
    if (!ret)
        ret = run(&t);
    int signal = signals_pending();
    training_close(&t);
    signals_release();
    if (signal && (ret == 0 || ret == -EINTR)) /* EINTR: it came before the first step */
        return 128 + signal;
    return ret;
}
