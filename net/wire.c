/* Heads: filled in, checked, and put into words. Pure functions; the loop and the fuzzer call
 * them alike. */
#include "net/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

static const char *const type_names[WIRE_TYPE_COUNT] = {
    "HELLO", "ANSWER", "ACTIVATION", "GRADIENT", "LOSS", "PREDICTION", "END", "ERROR"};

const char *wire_type_name(uint8_t type)
{
    return type < WIRE_TYPE_COUNT ? type_names[type] : "?";
}

size_t wire_dtype_bytes(uint32_t dtype)
{
    static const size_t bytes[WIRE_DTYPE_COUNT] = {4, 2, 4, 1};
    return dtype < WIRE_DTYPE_COUNT ? bytes[dtype] : 0;
}

void wire_head_init(struct wire_head *h, enum wire_type type, uint64_t seq)
{
    *h = (struct wire_head){
        .magic = WIRE_MAGIC, .version = WIRE_VERSION, .type = (uint8_t)type, .seq = seq};
}

void wire_head_shape(struct wire_head *h, enum wire_dtype dtype, int ndim, const int dim[])
{
    h->dtype = (uint8_t)dtype;
    h->ndim = (uint32_t)ndim;
    h->payload_bytes = ndim ? wire_dtype_bytes(dtype) : 0;
    for (int i = 0; i < ndim; i++) {
        h->dim[i] = (uint32_t)dim[i];
        h->payload_bytes *= (uint64_t)dim[i];
    }
}

int wire_check_common(const struct wire_head *h)
{
    if (h->magic != WIRE_MAGIC)
        return err_set(EPROTO,
                       "not a frame of this protocol: magic 0x%08x, wanted 0x%08x: is the peer a "
                       "sparse-engine?",
                       h->magic, (unsigned)WIRE_MAGIC);
    if (h->version != WIRE_VERSION)
        return err_set(
            EPROTO, "peer speaks protocol version %u, this node %u: run the same release on both",
            h->version, (unsigned)WIRE_VERSION);
    if (h->type >= WIRE_TYPE_COUNT)
        return err_set(EPROTO, "frame of unknown type %u", h->type);
    if (h->flags)
        return err_set(EPROTO, "%s frame with unknown flags 0x%x", wire_type_name(h->type),
                       h->flags);
    for (size_t i = 0; i < sizeof(h->reserved); i++)
        if (h->reserved[i])
            return err_set(EPROTO, "%s frame whose reserved bytes are not zero",
                           wire_type_name(h->type));
    return 0;
}

/* "(64, 128, 8, 8)" */
static const char *shape_text(char *text, size_t bytes, uint32_t ndim, const uint32_t dim[])
{
    size_t n = (size_t)snprintf(text, bytes, "(");
    for (uint32_t i = 0; i < ndim && n < bytes; i++)
        n += (size_t)snprintf(text + n, bytes - n, i ? ", %u" : "%u", dim[i]);
    if (n < bytes)
        snprintf(text + n, bytes - n, ")");
    return text;
}

static int check_no_payload(const struct wire_head *h)
{
    if (h->payload_bytes || h->ndim)
        return err_set(EPROTO, "%s frame with a payload of %llu bytes, wanted none",
                       wire_type_name(h->type), (unsigned long long)h->payload_bytes);
    return 0;
}

/* dim[] multiplied without overflow: each step is compared with the bound first. */
static int check_size(const struct wire_head *h, uint64_t payload_max)
{
    uint64_t bytes = wire_dtype_bytes(h->dtype);

    for (uint32_t i = 0; i < h->ndim; i++) {
        if (h->dim[i] && bytes > UINT64_MAX / h->dim[i])
            return err_set(EPROTO, "%s frame whose dimensions overflow", wire_type_name(h->type));
        bytes *= h->dim[i];
    }
    if (h->payload_bytes != bytes)
        return err_set(EPROTO, "%s frame of %llu payload bytes, its shape and type make %llu",
                       wire_type_name(h->type), (unsigned long long)h->payload_bytes,
                       (unsigned long long)bytes);
    if (h->payload_bytes > payload_max)
        return err_set(
            EPROTO,
            "%s frame of %llu bytes, slot holds %llu: do both sides run the same batch size?",
            wire_type_name(h->type), (unsigned long long)h->payload_bytes,
            (unsigned long long)payload_max);
    return 0;
}

static int check_shape(const struct wire_head *h, const struct wire_expect *x)
{
    char got[64], want[64];
    bool fits;

    if (h->ndim == 0 || h->ndim > WIRE_MAX_DIM)
        return err_set(EPROTO, "%s frame of %u dimensions, wanted 1 to %d", wire_type_name(h->type),
                       h->ndim, WIRE_MAX_DIM);
    for (uint32_t i = h->ndim; i < WIRE_MAX_DIM; i++)
        if (h->dim[i])
            return err_set(EPROTO, "%s frame with a dimension beyond its %u",
                           wire_type_name(h->type), h->ndim);
    if (h->dtype >= WIRE_DTYPE_COUNT)
        return err_set(EPROTO, "%s frame of unknown element type %u", wire_type_name(h->type),
                       h->dtype);
    if (h->dtype != x->dtype)
        return err_set(EPROTO,
                       "%s frame of element type %u, agreed on %u (0 f32, 1 f16, 2 i32, 3 u8)",
                       wire_type_name(h->type), h->dtype, x->dtype);
    if (!x->ndim)
        return check_size(h, x->payload_max);

    fits = h->ndim == x->ndim && h->dim[0] <= x->dim[0];
    for (uint32_t i = 1; fits && i < h->ndim; i++)
        fits = h->dim[i] == x->dim[i];
    if (!fits)
        return err_set(EPROTO, "%s frame of shape %s, agreed on %s with at most so many samples",
                       wire_type_name(h->type), shape_text(got, sizeof(got), h->ndim, h->dim),
                       shape_text(want, sizeof(want), x->ndim, x->dim));
    if (h->n_samples != h->dim[0])
        return err_set(EPROTO, "%s frame of %u samples, its shape says %u", wire_type_name(h->type),
                       h->n_samples, h->dim[0]);
    return check_size(h, x->payload_max);
}

static int check_aux(const struct wire_head *h, const struct wire_expect *x)
{
    uint64_t want = 0;

    if (h->type == WIRE_ACTIVATION && x->label_classes)
        want = 4 * (uint64_t)h->n_samples;
    if (h->aux_bytes != want)
        return err_set(EPROTO, "%s frame of %u samples with %u bytes of labels, wanted %llu",
                       wire_type_name(h->type), h->n_samples, h->aux_bytes,
                       (unsigned long long)want);
    if (h->aux_bytes > x->aux_max)
        return err_set(EPROTO, "%s frame with %u bytes of labels, slot holds %u",
                       wire_type_name(h->type), h->aux_bytes, x->aux_max);
    return 0;
}

static int check_micro(const struct wire_head *h)
{
    if (!h->micro_count || h->micro >= h->micro_count)
        return err_set(EPROTO, "%s frame says micro-batch %u of %u", wire_type_name(h->type),
                       h->micro, h->micro_count);
    if (h->n_samples > h->n_full)
        return err_set(EPROTO, "%s frame of %u samples of a whole batch of %u",
                       wire_type_name(h->type), h->n_samples, h->n_full);
    return 0;
}

int wire_check(const struct wire_head *h, const struct wire_expect *x, uint64_t next_seq)
{
    int r = wire_check_common(h);

    if (r < 0)
        return r;
    if (h->type == WIRE_HELLO || h->type == WIRE_ANSWER)
        return err_set(EPROTO, "%s frame in the middle of a stream", wire_type_name(h->type));
    if (h->type == WIRE_END || h->type == WIRE_ERROR) {
        uint32_t aux_max = h->type == WIRE_END ? 0 : WIRE_SENTENCE_MAX;
        if (h->aux_bytes > aux_max)
            return err_set(EPROTO, "%s frame with %u bytes of text, wanted at most %u",
                           wire_type_name(h->type), h->aux_bytes, aux_max);
        return check_no_payload(h);
    }
    if (!(x->types >> h->type & 1))
        return err_set(EPROTO, "%s frame on a stream that has none of them in this direction",
                       wire_type_name(h->type));
    if (h->seq != next_seq)
        return err_set(EPROTO, "%s frame number %llu, wanted %llu: one was lost or repeated",
                       wire_type_name(h->type), (unsigned long long)h->seq,
                       (unsigned long long)next_seq);
    r = h->type == WIRE_LOSS ? check_no_payload(h) : check_shape(h, x);
    if (r < 0)
        return r;
    r = check_micro(h);
    return r < 0 ? r : check_aux(h, x);
}

int wire_check_labels(const int32_t *labels, uint32_t n, uint32_t classes)
{
    for (uint32_t i = 0; i < n; i++)
        if (labels[i] < 0 || (uint32_t)labels[i] >= classes)
            return err_set(EPROTO, "label %u of the batch is %d, wanted 0 to %u", i, labels[i],
                           classes - 1);
    return 0;
}

char *wire_sentence(char *text, size_t text_bytes, const void *aux, size_t aux_bytes)
{
    const unsigned char *in = aux;
    size_t n = 0;

    while (n + 1 < text_bytes && n < aux_bytes && in[n]) {
        text[n] = in[n] >= ' ' && in[n] < 127 ? (char)in[n] : '?';
        n++;
    }
    text[n] = 0;
    return text;
}
