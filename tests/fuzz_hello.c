/* Any bytes as hello and as answer: what is accepted is within its bounds, survives there and
 * back, and can be compared. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "net/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_hello(const uint8_t *data, size_t size)
{
    struct hello_want want = {.model = "small", .dtype = -1, .codec = -1, .ndim = 2, .dim = {1, 4}};
    char again[HELLO_WIRE_BYTES];
    struct hello h;

    if (hello_decode(&h, data, size) < 0)
        return;
    CHECK(h.layer_from <= h.layer_to && h.layer_to <= HELLO_MAX_LAYERS);
    CHECK(h.batch >= 1 && h.batch <= HELLO_MAX_SAMPLES && h.micro_batches >= 1 &&
          h.micro_batches <= h.batch);
    CHECK(h.ndim >= 1 && h.ndim <= WIRE_MAX_DIM && h.dim[0] >= 1 && h.dim[0] <= h.batch);
    CHECK(memchr(h.model, 0, sizeof(h.model)) && memchr(h.node, 0, sizeof(h.node)));
    if (hello_check(&h, &want) < 0)
        CHECK(err_text()[0]);
    hello_encode(&h, again);
    CHECK(hello_decode(&h, again, sizeof(again)) == 0);
}

static void check_answer(const uint8_t *data, size_t size)
{
    char again[ANSWER_WIRE_BYTES];
    struct answer a;

    if (answer_decode(&a, data, size) < 0)
        return;
    CHECK(a.verdict < ANSWER_VERDICT_COUNT && a.layer_from <= a.layer_to);
    CHECK(memchr(a.sentence, 0, sizeof(a.sentence)) && memchr(a.node, 0, sizeof(a.node)));
    answer_encode(&a, again);
    CHECK(answer_decode(&a, again, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_hello(data, size);
    check_answer(data, size);
    return 0;
}
