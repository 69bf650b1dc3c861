/* The handshake's texts and rules. Fixed layouts at fixed offsets; every field is checked before
 * it is used. */
#include "net/hello.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

struct hello_wire {
    uint32_t mode, answer, want_gradient, dtype;
    uint64_t model_hash, seed, step;
    uint32_t layer_from, layer_to, batch, micro_batches, in_flight, codec, classes, ndim;
    uint32_t dim[WIRE_MAX_DIM];
    char model[HELLO_NAME_BYTES], node[HELLO_NAME_BYTES];
    float conf, nms;
    uint32_t rounds;
    uint8_t reserved[92];
};
_Static_assert(sizeof(struct hello_wire) == HELLO_WIRE_BYTES, "hello is 320 bytes on the wire");

struct answer_wire {
    uint32_t verdict, layer_from, layer_to, zero;
    uint64_t step;
    char node[HELLO_NAME_BYTES];
    char sentence[WIRE_SENTENCE_MAX];
    uint8_t reserved[40];
};
_Static_assert(sizeof(struct answer_wire) == ANSWER_WIRE_BYTES, "answer is 640 bytes on the wire");

void hello_encode(const struct hello *h, void *aux)
{
    struct hello_wire w = {
        .mode = h->mode,
        .answer = h->answer,
        .conf = h->conf,
        .nms = h->nms,
        .rounds = h->rounds,
        .want_gradient = h->want_gradient,
        .dtype = h->dtype,
        .model_hash = h->model_hash,
        .seed = h->seed,
        .step = h->step,
        .layer_from = h->layer_from,
        .layer_to = h->layer_to,
        .batch = h->batch,
        .micro_batches = h->micro_batches,
        .in_flight = h->in_flight,
        .codec = h->codec,
        .classes = h->classes,
        .ndim = h->ndim,
    };
    for (int i = 0; i < WIRE_MAX_DIM; i++)
        w.dim[i] = h->dim[i];
    wire_sentence(w.model, sizeof(w.model), h->model, sizeof(h->model));
    wire_sentence(w.node, sizeof(w.node), h->node, sizeof(h->node));
    memcpy(aux, &w, sizeof(w));
}

void answer_encode(const struct answer *a, void *aux)
{
    struct answer_wire w = {.verdict = a->verdict,
                            .layer_from = a->layer_from,
                            .layer_to = a->layer_to,
                            .step = a->step};

    wire_sentence(w.node, sizeof(w.node), a->node, sizeof(a->node));
    wire_sentence(w.sentence, sizeof(w.sentence), a->sentence, sizeof(a->sentence));
    memcpy(aux, &w, sizeof(w));
}

/* A name ends within its field and is printable. */
static int check_name(const char *what, const char *name, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (!name[i])
            return 0;
        if (name[i] < ' ' || name[i] > '~')
            return err_set(EPROTO, "hello with an unprintable %s", what);
    }
    return err_set(EPROTO, "hello whose %s does not end within %zu bytes", what, bytes);
}

static int check_range(const char *what, uint64_t v, uint64_t low, uint64_t high)
{
    if (v < low || v > high)
        return err_set(EPROTO, "hello says %s %llu, wanted %llu to %llu", what,
                       (unsigned long long)v, (unsigned long long)low, (unsigned long long)high);
    return 0;
}

static int check_zero(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i])
            return err_set(EPROTO, "hello whose reserved bytes are not zero");
    return 0;
}

static int check_hello(const struct hello_wire *w)
{
    const struct {
        const char *what;
        uint64_t v, low, high;
    } range[] = {
        {"mode", w->mode, 0, HELLO_MODE_COUNT - 1},
        {"answer kind", w->answer, 0, HELLO_ANSWER_KIND_COUNT - 1},
        {"want-gradient", w->want_gradient, 0, 1},
        {"element type", w->dtype, 0, WIRE_DTYPE_COUNT - 1},
        {"last layer", w->layer_to, 0, HELLO_MAX_LAYERS},
        {"first layer", w->layer_from, 0, w->layer_to},
        {"batch size", w->batch, 1, HELLO_MAX_SAMPLES},
        {"micro-batches", w->micro_batches, 1, w->batch},
        {"requests in flight", w->in_flight, 1, HELLO_MAX_IN_FLIGHT},
        {"codec factor", w->codec, 0, HELLO_MAX_CODEC},
        {"classes", w->classes, w->mode == HELLO_TRAIN ? 1 : 0, INT32_MAX},
        {"dimensions", w->ndim, 1, WIRE_MAX_DIM},
        {"samples a frame", w->dim[0], 1, w->batch},
    };
    int r;

    for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++)
        if ((r = check_range(range[i].what, range[i].v, range[i].low, range[i].high)) < 0)
            return r;
    for (uint32_t i = 1; i < WIRE_MAX_DIM; i++)
        if ((r = check_range("a dimension of", w->dim[i], i < w->ndim ? 1 : 0,
                             i < w->ndim ? HELLO_MAX_DIM : 0)) < 0)
            return r;
    if (!(w->conf >= 0 && w->conf <= 1 && w->nms >= 0 && w->nms <= 1))
        return err_set(EPROTO, "hello says limits %g and %g of detections, wanted 0 to 1",
                       (double)w->conf, (double)w->nms);
    if ((r = check_name("model name", w->model, sizeof(w->model))) < 0 ||
        (r = check_name("node name", w->node, sizeof(w->node))) < 0)
        return r;
    return check_zero(w->reserved, sizeof(w->reserved));
}

int hello_decode(struct hello *h, const void *aux, size_t aux_bytes)
{
    struct hello_wire w;
    int r;

    if (aux_bytes != sizeof(w))
        return err_set(EPROTO, "hello of %zu bytes, wanted %zu", aux_bytes, sizeof(w));
    memcpy(&w, aux, sizeof(w));
    if ((r = check_hello(&w)) < 0)
        return r;
    *h = (struct hello){
        .mode = w.mode,
        .model_hash = w.model_hash,
        .layer_from = w.layer_from,
        .layer_to = w.layer_to,
        .batch = w.batch,
        .micro_batches = w.micro_batches,
        .in_flight = w.in_flight,
        .dtype = w.dtype,
        .codec = w.codec,
        .ndim = w.ndim,
        .want_gradient = w.want_gradient,
        .answer = w.answer,
        .conf = w.conf,
        .nms = w.nms,
        .classes = w.classes,
        .seed = w.seed,
        .rounds = w.rounds,
        .step = w.step,
    };
    for (int i = 0; i < WIRE_MAX_DIM; i++)
        h->dim[i] = w.dim[i];
    memcpy(h->model, w.model, sizeof(h->model));
    memcpy(h->node, w.node, sizeof(h->node));
    return 0;
}

int answer_decode(struct answer *a, const void *aux, size_t aux_bytes)
{
    struct answer_wire w;
    int r;

    if (aux_bytes != sizeof(w))
        return err_set(EPROTO, "answer of %zu bytes, wanted %zu", aux_bytes, sizeof(w));
    memcpy(&w, aux, sizeof(w));
    if ((r = check_range("verdict", w.verdict, 0, ANSWER_VERDICT_COUNT - 1)) < 0 ||
        (r = check_range("last layer", w.layer_to, 0, HELLO_MAX_LAYERS)) < 0 ||
        (r = check_range("first layer", w.layer_from, 0, w.layer_to)) < 0 ||
        (r = check_name("node name", w.node, sizeof(w.node))) < 0 ||
        (r = check_name("sentence", w.sentence, sizeof(w.sentence))) < 0 ||
        (r = check_zero(w.reserved, sizeof(w.reserved))) < 0 ||
        (r = check_range("zero", w.zero, 0, 0)) < 0)
        return r;
    *a = (struct answer){
        .verdict = w.verdict, .layer_from = w.layer_from, .layer_to = w.layer_to, .step = w.step};
    memcpy(a->node, w.node, sizeof(a->node));
    memcpy(a->sentence, w.sentence, sizeof(a->sentence));
    return 0;
}

/* One sample's shape, "(128, 8, 8)": the number of samples is the batch's affair. */
static const char *sample_text(char *text, size_t bytes, uint32_t ndim, const uint32_t dim[])
{
    size_t n = (size_t)snprintf(text, bytes, "(");
    for (uint32_t i = 1; i < ndim && n < bytes; i++)
        n += (size_t)snprintf(text + n, bytes - n, i > 1 ? ", %u" : "%u", dim[i]);
    if (n < bytes)
        snprintf(text + n, bytes - n, ")");
    return text;
}

static const char *mode_text(enum hello_mode mode)
{
    return mode == HELLO_TRAIN ? "trains" : "infers";
}

static int check_shapes(const struct hello *t, const struct hello_want *w)
{
    char theirs[64], ours[64];
    bool same = t->ndim == w->ndim;

    for (uint32_t i = 1; same && i < t->ndim; i++)
        same = t->dim[i] == w->dim[i];
    if (w->ndim && !same)
        return err_set(EPROTO, "upstream sends samples of shape %s, this node takes %s",
                       sample_text(theirs, sizeof(theirs), t->ndim, t->dim),
                       sample_text(ours, sizeof(ours), w->ndim, w->dim));
    return 0;
}

int hello_check(const struct hello *t, const struct hello_want *w)
{
    static const char *const dtype[WIRE_DTYPE_COUNT] = {"f32", "f16", "i32", "u8"};

    if (t->mode != w->mode)
        return err_set(EPROTO, "upstream %s, this node %s", mode_text(t->mode), mode_text(w->mode));
    if (strcmp(t->model, w->model))
        return err_set(EPROTO, "upstream runs model %s, this node %s", t->model, w->model);
    if (w->codec >= 0 && t->codec != (uint32_t)w->codec)
        return err_set(
            EPROTO,
            "upstream has codec factor %u, this node %d (0: none): give both the same --codec",
            t->codec, w->codec);
    if (t->model_hash != w->model_hash)
        return err_set(EPROTO,
                       "upstream's %s is another model (hash %016llx, this node's %016llx): give "
                       "both the same model and options",
                       t->model, (unsigned long long)t->model_hash,
                       (unsigned long long)w->model_hash);
    if (t->layer_to != w->layer_from)
        return err_set(EPROTO, "upstream ends at layer %u, this node begins at %u", t->layer_to,
                       w->layer_from);
    if (w->batch && t->batch != w->batch)
        return err_set(EPROTO, "upstream runs batch size %u, this node %u", t->batch, w->batch);
    if (w->micro_batches && t->micro_batches != w->micro_batches)
        return err_set(EPROTO, "upstream runs %u micro-batches, this node %u", t->micro_batches,
                       w->micro_batches);
    if (w->dtype >= 0 && t->dtype != (enum wire_dtype)w->dtype)
        return err_set(EPROTO,
                       "upstream sends %s, this node takes %s: give both the same --wire-dtype",
                       dtype[t->dtype], dtype[w->dtype]);
    if (w->classes && t->classes != w->classes)
        return err_set(EPROTO, "upstream's labels have %u classes, this node's model %u",
                       t->classes, w->classes);
    return check_shapes(t, w);
}
