/*
 * A head of any bytes against any expectation: whatever wire_check lets pass stays within the
 * slot, and a stream of bytes cut into frames by the accepted heads never leaves it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "net/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_accepted(const struct wire_head *h, const struct wire_expect *x, uint64_t seq)
{
    uint64_t bytes = wire_dtype_bytes(h->dtype);

    CHECK(h->type < WIRE_TYPE_COUNT && h->type != WIRE_HELLO && h->type != WIRE_ANSWER);
    if (h->type == WIRE_END || h->type == WIRE_ERROR) {
        CHECK(!h->payload_bytes && h->aux_bytes <= (h->type == WIRE_END ? 0 : WIRE_SENTENCE_MAX));
        return;
    }
    CHECK(x->types >> h->type & 1 && h->seq == seq);
    CHECK(h->payload_bytes <= x->payload_max && h->aux_bytes <= x->aux_max);
    CHECK(h->micro < h->micro_count && h->n_samples <= h->n_full);
    CHECK(h->ndim <= WIRE_MAX_DIM);
    for (uint32_t i = 0; i < h->ndim; i++)
        CHECK(!__builtin_mul_overflow(bytes, (uint64_t)h->dim[i], &bytes));
    CHECK(h->payload_bytes == (h->ndim ? bytes : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_expect x = {
        .types = 1u << WIRE_ACTIVATION | 1u << WIRE_LOSS,
        .dtype = WIRE_F32,
        .ndim = 2,
        .dim = {8, 4},
        .label_classes = 3,
        .payload_max = 128,
        .aux_max = 32,
    };
    struct wire_head h;
    char text[64];
    uint64_t seq = 0;

    if (size > 0 && data[0] & 1)
        x = (struct wire_expect){.types = 1u << WIRE_PREDICTION | 1u << WIRE_GRADIENT,
                                 .payload_max = UINT64_MAX};
    for (size_t at = 1; at + sizeof(h) <= size;) {
        size_t aux, left;
        memcpy(&h, data + at, sizeof(h));
        at += sizeof(h);
        if (wire_check(&h, &x, seq) < 0)
            return 0;
        check_accepted(&h, &x, seq++);
        aux = wire_aux_padded(h.aux_bytes);
        left = size - at;
        if (left < aux || left - aux < h.payload_bytes)
            return 0;
        if (h.type == WIRE_ERROR)
            wire_sentence(text, sizeof(text), data + at, h.aux_bytes);
        if (h.type == WIRE_ACTIVATION) {
            int32_t labels[8];
            memcpy(labels, data + at, h.aux_bytes);
            if (wire_check_labels(labels, h.aux_bytes / 4, x.label_classes) == 0)
                for (uint32_t i = 0; i < h.aux_bytes / 4; i++)
                    CHECK(labels[i] >= 0 && labels[i] < 3);
        }
        at += aux + h.payload_bytes;
    }
    return 0;
}
