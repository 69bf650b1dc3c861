/*
 * libFuzzer: any bytes as what a peer sends. The first byte picks a hello, an answer, or a data
 * frame's head followed by its aux. What is accepted must keep the bounds that the headers promise.
 */
#include <string.h>

#include "base/err.h"
#include "net/hello.h"
#include "net/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one_hello(const uint8_t *data, size_t size)
{
    struct hello h, again;
    if (hello_decode(&h, data, size) < 0) {
        CHECK(err_text()[0]);
        return;
    }
    CHECK(strnlen(h.model, sizeof(h.model)) < sizeof(h.model));
    CHECK(strnlen(h.node, sizeof(h.node)) < sizeof(h.node));
    CHECK(h.mode < HELLO_MODE_COUNT && h.ndim <= WIRE_MAX_DIM && h.batch <= HELLO_MAX_SAMPLES);
    CHECK(h.layer_to <= HELLO_MAX_LAYERS && h.in_flight <= HELLO_MAX_IN_FLIGHT);

    uint8_t aux[HELLO_WIRE_BYTES];
    hello_encode(&h, aux);
    CHECK(hello_decode(&again, aux, sizeof(aux)) == 0);
    struct hello_want want = {.mode = HELLO_TRAIN, .model = "vgg11", .dtype = -1, .codec = -1};
    hello_check(&h, &want);
}

static void one_answer(const uint8_t *data, size_t size)
{
    struct answer a;
    if (answer_decode(&a, data, size) < 0)
        return;
    CHECK(a.verdict < ANSWER_VERDICT_COUNT);
    CHECK(strnlen(a.sentence, sizeof(a.sentence)) < sizeof(a.sentence));
}

static void one_frame(const uint8_t *data, size_t size)
{
    struct wire_expect x = {
        .types = 1u << WIRE_ACTIVATION | 1u << WIRE_GRADIENT,
        .ndim = 4,
        .dim = {8, 3, 32, 32},
        .label_classes = 10,
        .payload_max = 8 * 3 * 32 * 32 * sizeof(float),
        .aux_max = 64,
    };
    struct wire_head head;
    if (size < sizeof(head))
        return;
    memcpy(&head, data, sizeof(head));
    if (wire_check(&head, &x, 0) < 0) {
        CHECK(err_text()[0]);
        return;
    }
    CHECK(head.payload_bytes <= x.payload_max);
    if (head.type == WIRE_ERROR)
        CHECK(head.aux_bytes <= WIRE_SENTENCE_MAX);
    else if (head.type == WIRE_END)
        CHECK(head.aux_bytes == 0 && head.payload_bytes == 0);
    else
        CHECK(head.aux_bytes <= x.aux_max && head.n_samples <= x.dim[0]);
    size_t aux_bytes = size - sizeof(head) < head.aux_bytes ? size - sizeof(head) : head.aux_bytes;
    char text[WIRE_SENTENCE_MAX + 1];
    wire_sentence(text, sizeof(text), data + sizeof(head), aux_bytes);
    CHECK(strlen(text) < sizeof(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const one[])(const uint8_t *data, size_t size) = {one_hello, one_answer,
                                                                    one_frame};
    if (size > 0)
        one[data[0] % 3](data + 1, size - 1);
    return 0;
}
