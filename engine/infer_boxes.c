/*
 * The inference of a detector: one picture a request, again from the first where more are asked for
 * than there are. What was found is told, and drawn, once a picture; with --json once a request.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "datasets/picture.h"
#include "engine/class_names.h"
#include "engine/draw.h"
#include "engine/infer.h"
#include "engine/infer_report.h"
#include "engine/latency.h"
#include "engine/pictures.h"
#include "engine/process.h"
#include "engine/setup.h"

struct boxes {
    struct pictures pictures;
    struct picture *picture; /* in_flight of them: request r's is number r % in_flight */
    struct box *box, *scratch;
    double *latency; /* seconds, one a request */
    uint64_t found;
};

static int check_words(const struct config *c)
{
    if (config_given(c, OPT_BATCH_SIZE) && c->batch_size != 1)
        return err_set(EINVAL,
                       "a detector takes one picture a request, there is --batch-size %d: "
                       "leave it out",
                       c->batch_size);
    if (config_given(c, OPT_DATASET))
        return err_set(EINVAL, "%s is a detector: give it pictures with --images, not --dataset",
                       c->model);
    if (c->output && c->role->upstream && !c->answer_raw)
        return err_set(EINVAL, "--output of raw predictions over a split: give --answer raw");
    return 0;
}

static int make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return 0;
    return err_set(errno, "cannot make folder %s: %s", path, strerror(errno));
}

/* Those of --images; else the model's own: it may be a model of what this program draws. */
static int open_pictures(struct inference *f)
{
    const struct config *c = f->c;
    struct boxes *k = f->own;
    if (c->npart_file || !class_names_figures(f->model))
        return setup_not_words(
            pictures_open(&k->pictures, c->part_file, c->npart_file, c->data_dir, c->seed));
    return pictures_open_scenes(&k->pictures, c->seed);
}

static const char *drawn_text(const struct inference *f)
{
    const struct boxes *k = f->own;
    if (!k->pictures.scenes)
        return "";
    return class_names_figures(f->model)
               ? ": drawn here, others with another --seed"
               : ": drawn here, for DATA_DIR/samples holds none; --images FILE|DIR gives others";
}

static int open_data(struct inference *f)
{
    const struct config *c = f->c;
    struct boxes *k = f->own;
    int ret = open_pictures(f);
    if (!ret && c->save_detections)
        ret = setup_not_words(make_folder(c->save_detections));
    if (ret < 0)
        return ret;
    f->reader.plan.batch = 1;
    f->reader.plan.boxes = c->role->upstream && !c->answer_raw;
    f->reader.plan.limits = (struct detect_limits){c->conf, c->nms};
    f->requests = c->inferences ? c->inferences : k->pictures.count;
    size_t boxes = (size_t)f->model->boxes;
    k->picture = calloc((size_t)c->in_flight, sizeof(*k->picture));
    k->box = calloc(boxes, sizeof(*k->box));
    k->scratch = calloc(boxes, sizeof(*k->scratch));
    k->latency = calloc(f->requests, sizeof(*k->latency));
    if (!k->picture || !k->box || !k->scratch || !k->latency)
        return err_set(ENOMEM, "no memory for %zu boxes and %" PRIu64 " requests", boxes,
                       f->requests);
    setup_say(c, "%zu picture%s, the first is %s%s", k->pictures.count,
              k->pictures.count == 1 ? "" : "s", k->pictures.path[0], drawn_text(f));
    return 0;
}

static void close_data(struct inference *f)
{
    struct boxes *k = f->own;
    for (int i = 0; k->picture && i < f->c->in_flight; i++)
        picture_close(&k->picture[i]);
    free(k->picture);
    free(k->latency);
    free(k->scratch);
    free(k->box);
    pictures_close(&k->pictures);
}

static int open_output(struct inference *f)
{
    const struct config *c = f->c;
    if (setup_weights_fresh(f->model, c) && c->role->layers)
        setup_say(c, "The weights are fresh, so nothing will be found, but as long as it would "
                     "take: give --weights FILE");
    if (!c->output)
        return 0;
    if (f->requests > INT32_MAX)
        return err_set(EFBIG,
                       "--output of %" PRIu64 " pictures: at most %d, give fewer "
                       "--inferences",
                       f->requests, INT32_MAX);
    struct tensor shape =
        tensor_f32(3, (int[]){(int)f->requests, f->model->boxes, 5 + f->model->classes});
    return setup_not_words(weights_writer_open(&f->output, c->output, "predictions", &shape));
}

static struct picture *picture_of(struct inference *f, uint64_t request)
{
    struct boxes *k = f->own;
    return &k->picture[request % (uint64_t)f->c->in_flight];
}

static int fill(struct inference *f, uint64_t request, float *in, int *n)
{
    struct boxes *k = f->own;
    const struct tensor *t = &f->model->in;
    struct picture *p = picture_of(f, request);
    picture_close(p);
    *n = 1;
    int ret = pictures_read(&k->pictures, request % k->pictures.count, p);
    if (ret < 0)
        return setup_not_words(ret);
    return f->c->letterbox ? picture_letterbox(p, in, t->dim[3], t->dim[2])
                           : picture_stretch(p, in, t->dim[3], t->dim[2]);
}

/* The answer's boxes, in the picture's pixels: how many, or -errno. */
static int find(struct inference *f, const struct picture *p, const struct tensor *out)
{
    struct boxes *k = f->own;
    const struct model *m = f->model;
    struct detect_view view = {p->w, p->h, m->in.dim[3], m->in.dim[2], f->c->letterbox, 0, 0};
    int n = out->dim[0];
    if (f->reader.plan.boxes) {
        int ret = detect_unpack(k->box, tensor_floats(out), n, m->classes);
        if (ret < 0)
            return ret;
    } else {
        n = detect_boxes(k->box, tensor_floats(out), m->boxes, m->classes, &f->reader.plan.limits,
                         k->scratch);
    }
    picture_letterbox_size(p, view.in_w, view.in_h, &view.inner_w, &view.inner_h);
    for (int i = 0; i < n; i++)
        detect_map(&k->box[i], &view);
    return n;
}

static int print_json(struct inference *f, uint64_t request, const struct picture *p, int n)
{
    struct boxes *k = f->own;
    json_t *list = json_array();
    for (int i = 0; list && i < n; i++) {
        const struct box *b = &k->box[i];
        char text[32];
        json_array_append_new(list,
                              json_pack("{s:i,s:s,s:f,s:f,s:f,s:f,s:f,s:f}", "class", b->class,
                                        "name", class_name(f->model, b->class, text, sizeof(text)),
                                        "objectness", (double)b->conf, "class_score",
                                        (double)b->class_conf, "x1", (double)b->x1, "y1",
                                        (double)b->y1, "x2", (double)b->x2, "y2", (double)b->y2));
    }
    json_t *line =
        json_pack("{s:I,s:s,s:i,s:i,s:f,s:o}", "request", (json_int_t)request + 1, "image",
                  k->pictures.path[request % k->pictures.count], "width", p->w, "height", p->h,
                  "latency_ms", 1e3 * k->latency[request], "boxes", list);
    if (!line)
        return err_set(ENOMEM, "no memory for a result, or the name of a picture is not UTF-8");
    json_dumpf(line, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(line);
    return 0;
}

/* On a line of its own, where no message is printed either: results are no messages. */
static void print_text(struct inference *f, const char *path, int n)
{
    struct boxes *k = f->own;
    for (int i = 0; i < n; i++) {
        const struct box *b = &k->box[i];
        char name[32], line[512];
        snprintf(line, sizeof(line), "%.300s: %s %.1f %%, (%.0f, %.0f) to (%.0f, %.0f)", path,
                 class_name(f->model, b->class, name, sizeof(name)),
                 100 * (double)(b->conf * b->class_conf), (double)b->x1, (double)b->y1,
                 (double)b->x2, (double)b->y2);
        if (f->progress.to)
            progress_say(&f->progress, "%s", line);
        else
            puts(line);
    }
    if (n == 0)
        progress_say(&f->progress, "%s: nothing found", path);
}

static int save(struct inference *f, const char *path, struct picture *p, int n)
{
    struct boxes *k = f->own;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    int length = (int)(dot && dot != name ? (size_t)(dot - name) : strlen(name));
    char to[4096];
    for (int i = n - 1; i >= 0; i--) { /* the likeliest on top */
        const struct box *b = &k->box[i];
        char text[32], label[64];
        snprintf(label, sizeof(label), "%s %.0f%%",
                 class_name(f->model, b->class, text, sizeof(text)),
                 100 * (double)(b->conf * b->class_conf));
        draw_box(p, b, label);
    }
    if (snprintf(to, sizeof(to), "%s/%.*s_detected.png", f->c->save_detections, length, name) >=
        (int)sizeof(to))
        return err_set(ENAMETOOLONG, "cannot save what was found in %s: the name is too long",
                       path);
    int ret = picture_write(p, to);
    if (ret == 0 && f->progress.to)
        progress_say(&f->progress, "Saved %s", to);
    return ret;
}

static int take(struct inference *f, uint64_t request, const struct stream_answer *answer,
                double seconds)
{
    struct boxes *k = f->own;
    struct picture *p = picture_of(f, request);
    const char *path = k->pictures.path[request % k->pictures.count];
    int n = find(f, p, &answer->out), ret = n < 0 ? n : 0;
    if (ret < 0)
        return ret;
    k->latency[request] = seconds;
    k->found += (uint64_t)n;
    if (f->c->json)
        ret = print_json(f, request, p, n);
    else if (request < k->pictures.count)
        print_text(f, path, n);
    if (!ret && f->c->save_detections && request < k->pictures.count)
        ret = save(f, path, p, n);
    if (!ret && f->output)
        ret = weights_writer_append(f->output, tensor_floats(&answer->out),
                                    tensor_count(&answer->out));
    return setup_not_words(ret);
}

/* NULL: fresh, or another node's concern. */
static const char *weights_text(const struct inference *f)
{
    if (f->c->weights)
        return f->c->weights;
    return f->model->shipped && f->c->role->layers ? "shipped" : NULL;
}

static int print(struct inference *f, double seconds)
{
    struct boxes *k = f->own;
    uint64_t n = f->done;
    latency_sort(k->latency, n);
    double median = latency_ms(k->latency, n, 0.5), p99 = latency_ms(k->latency, n, 0.99);
    if (!f->c->json) {
        printf("%" PRIu64 " boxes in %" PRIu64 " requests in %.2f s: latency median %.3f ms, p99 "
               "%.3f ms; %.2f pictures/s\n",
               k->found, n, seconds, median, p99, (double)n / seconds);
        printf("Peak memory %.0f MiB\n", (double)process_peak_bytes() / (1 << 20));
        return 0;
    }
    json_t *s =
        json_pack("{s:{s:s,s:I,s:I,s:I,s:f,s:f,s:f,s:s?,s:I}}", "summary", "model", f->model->name,
                  "images", (json_int_t)k->pictures.count, "requests", (json_int_t)n, "boxes",
                  (json_int_t)k->found, "latency_ms_median", median, "latency_ms_p99", p99,
                  "samples_per_second", (double)n / seconds, "weights", weights_text(f),
                  "peak_memory_bytes", (json_int_t)process_peak_bytes());
    return infer_report_summary(s);
}

const struct infer_kind infer_boxes = {
    .own_bytes = sizeof(struct boxes),
    .check_words = check_words,
    .open = open_data,
    .open_output = open_output,
    .fill = fill,
    .take = take,
    .print = print,
    .close = close_data,
};
