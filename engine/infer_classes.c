/* The inference of a classifier: batches of the test split, in order, again from its start where
 * more are asked for than it holds. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/err.h"
#include "engine/infer.h"
#include "engine/infer_report.h"
#include "engine/setup.h"

struct classes {
    struct dataset *ds;
    struct loader loader;
    struct infer_report report;
    int32_t *labels; /* in_flight batches of them: request r's are number r % in_flight */
};

/* Options that say something of pictures. */
static int check_words(const struct config *c)
{
    static const enum option boxes[] = {OPT_IMAGES,          OPT_CONF,      OPT_NMS,
                                        OPT_SAVE_DETECTIONS, OPT_LETTERBOX, OPT_ANSWER};
    for (size_t i = 0; i < sizeof(boxes) / sizeof(*boxes); i++)
        if (config_given(c, boxes[i]))
            return err_set(EINVAL, "--%s is for detectors, %s is a classifier: leave it out",
                           option_spec(boxes[i])->name, c->model);
    if (c->npart_file)
        return err_set(EINVAL, "%s is a classifier and takes no pictures, there is \"%s\"",
                       c->model, c->part_file[0]);
    return 0;
}

static int open_data(struct inference *f)
{
    const struct config *c = f->c;
    struct classes *k = f->own;
    int ret = setup_dataset(&k->ds, c, f->model, DATASET_TEST);
    if (!ret)
        ret = setup_not_words(loader_open(&k->loader, k->ds, c->batch_size, 0, false, c->seed));
    if (ret < 0)
        return ret;
    f->reader.plan.batch = c->batch_size;
    f->requests = c->inferences ? c->inferences : k->loader.batches;
    k->labels = calloc((size_t)c->in_flight * (size_t)c->batch_size, sizeof(*k->labels));
    if (!k->labels)
        return err_set(ENOMEM, "no memory for the labels of %d requests", c->in_flight);
    return infer_report_open(&k->report, f->requests, c->batch_size, c->json);
}

static void close_data(struct inference *f)
{
    struct classes *k = f->own;
    infer_report_close(&k->report);
    free(k->labels);
    loader_close(&k->loader);
    dataset_close(k->ds);
}

static uint64_t samples_in_all(const struct inference *f)
{
    const struct classes *k = f->own;
    uint64_t whole = f->requests / k->loader.batches, rest = f->requests % k->loader.batches;
    /* within a round only the last batch may be short, and `rest` never reaches it */
    return whole * k->ds->count + rest * (uint64_t)f->c->batch_size;
}

static int open_output(struct inference *f)
{
    if (!f->c->weights && f->c->role->layers)
        setup_say(f->c, "The weights are fresh, so the accuracy is chance: give --weights FILE");
    if (!f->c->output)
        return 0;
    uint64_t rows = samples_in_all(f);
    if (rows > INT32_MAX)
        return err_set(EFBIG, "--output of %" PRIu64 " rows: at most %d, give fewer --inferences",
                       rows, INT32_MAX);
    struct tensor shape = tensor_f32(2, (int[]){(int)rows, f->model->classes});
    return setup_not_words(weights_writer_open(&f->output, f->c->output, "predictions", &shape));
}

static int32_t *labels_of(struct inference *f, uint64_t request)
{
    struct classes *k = f->own;
    return k->labels + request % (uint64_t)f->c->in_flight * (uint64_t)f->c->batch_size;
}

static int fill(struct inference *f, uint64_t request, float *in, int *n)
{
    struct classes *k = f->own;
    uint64_t batch = request % k->loader.batches;
    *n = loader_samples(&k->loader, batch);
    loader_read(&k->loader, 0, batch, 0, *n, in, labels_of(f, request));
    return 0;
}

static int take(struct inference *f, uint64_t request, const struct stream_answer *answer,
                double seconds)
{
    struct classes *k = f->own;
    infer_report_request(&k->report, &answer->out, labels_of(f, request), seconds);
    if (!f->output)
        return 0;
    return setup_not_words(
        weights_writer_append(f->output, tensor_floats(&answer->out), tensor_count(&answer->out)));
}

static int print(struct inference *f, double seconds)
{
    struct classes *k = f->own;
    struct infer_about about = {f->model->name, k->ds->name, f->c->weights};
    return infer_report_print(&k->report, &about, seconds);
}

const struct infer_kind infer_classes = {
    .own_bytes = sizeof(struct classes),
    .check_words = check_words,
    .open = open_data,
    .open_output = open_output,
    .fill = fill,
    .take = take,
    .print = print,
    .close = close_data,
};
