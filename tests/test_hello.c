/* Hello and answer: there and back, each field out of its bounds, and each way in which two nodes
 * may not fit. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/hello.h"

static struct hello good(void)
{
    struct hello h = {
        .mode = HELLO_TRAIN,
        .model = "vgg11",
        .model_hash = 0x123456789abcdef0,
        .layer_from = 0,
        .layer_to = 6,
        .batch = 64,
        .micro_batches = 4,
        .in_flight = 4,
        .dtype = WIRE_F16,
        .codec = 4,
        .ndim = 4,
        .dim = {16, 128, 8, 8},
        .want_gradient = true,
        .answer = HELLO_RAW,
        .classes = 1000,
        .seed = 0xfedcba9876543210,
        .rounds = 1000000000,
        .step = 1ull << 40,
        .node = "jetson-1",
    };
    return h;
}

static struct hello_want want(void)
{
    struct hello_want w = {
        .mode = HELLO_TRAIN,
        .model = "vgg11",
        .model_hash = 0x123456789abcdef0,
        .layer_from = 6,
        .batch = 64,
        .micro_batches = 4,
        .dtype = WIRE_F16,
        .codec = 4,
        .ndim = 4,
        .dim = {1, 128, 8, 8},
        .classes = 1000,
    };
    return w;
}

static void test_there_and_back(void **state)
{
    char aux[HELLO_WIRE_BYTES];
    struct hello a = good(), b;

    hello_encode(&a, aux);
    assert_int_equal(hello_decode(&b, aux, sizeof(aux)), 0);
    assert_int_equal(b.mode, a.mode);
    assert_string_equal(b.model, a.model);
    assert_true(b.model_hash == a.model_hash && b.seed == a.seed && b.step == a.step);
    assert_int_equal(b.rounds, a.rounds);
    assert_int_equal(b.layer_from, a.layer_from);
    assert_int_equal(b.layer_to, a.layer_to);
    assert_int_equal(b.batch, a.batch);
    assert_int_equal(b.micro_batches, a.micro_batches);
    assert_int_equal(b.in_flight, a.in_flight);
    assert_int_equal(b.dtype, a.dtype);
    assert_int_equal(b.codec, a.codec);
    assert_int_equal(b.ndim, a.ndim);
    assert_memory_equal(b.dim, a.dim, sizeof(a.dim));
    assert_true(b.want_gradient);
    assert_int_equal(b.answer, a.answer);
    assert_int_equal(b.classes, a.classes);
    assert_string_equal(b.node, a.node);
}

static void test_answer_there_and_back(void **state)
{
    char aux[ANSWER_WIRE_BYTES];
    struct answer a = {.verdict = ANSWER_REFUSE,
                       .layer_from = 6,
                       .layer_to = 30,
                       .step = 77,
                       .node = "final",
                       .sentence = "no"},
                  b;

    answer_encode(&a, aux);
    assert_int_equal(answer_decode(&b, aux, sizeof(aux)), 0);
    assert_int_equal(b.verdict, ANSWER_REFUSE);
    assert_int_equal(b.layer_from, 6);
    assert_int_equal(b.layer_to, 30);
    assert_int_equal(b.step, 77);
    assert_string_equal(b.node, "final");
    assert_string_equal(b.sentence, "no");
    assert_int_equal(answer_decode(&b, aux, sizeof(aux) - 1), -EPROTO);
    aux[0] = ANSWER_VERDICT_COUNT;
    assert_int_equal(answer_decode(&b, aux, sizeof(aux)), -EPROTO);
    answer_encode(&a, aux);
    memset(aux + 24 + 64, 'x', WIRE_SENTENCE_MAX); /* a sentence without an end */
    assert_int_equal(answer_decode(&b, aux, sizeof(aux)), -EPROTO);
    assert_non_null(strstr(err_text(), "does not end"));
    answer_encode(&a, aux);
    aux[ANSWER_WIRE_BYTES - 1] = 1;
    assert_int_equal(answer_decode(&b, aux, sizeof(aux)), -EPROTO);
}

static void test_bounds(void **state)
{
    const struct {
        size_t offset;
        uint32_t value;
        const char *why;
    } rows[] = {
        {0, HELLO_MODE_COUNT, "mode 2"},
        {4, HELLO_ANSWER_KIND_COUNT, "answer kind 2"},
        {8, 2, "want-gradient 2"},
        {12, WIRE_DTYPE_COUNT, "element type 4"},
        {40, 7, "first layer 7, wanted 0 to 6"},
        {44, HELLO_MAX_LAYERS + 1, "last layer"},
        {48, 0, "batch size 0"},
        {48, HELLO_MAX_SAMPLES + 1, "batch size"},
        {52, 0, "micro-batches 0"},
        {52, 65, "micro-batches 65, wanted 1 to 64"},
        {56, 0, "in flight 0"},
        {56, UINT32_MAX, "in flight"},
        {60, HELLO_MAX_CODEC + 1, "codec"},
        {64, 0, "classes 0"},
        {64, UINT32_MAX, "classes"},
        {68, 0, "dimensions 0"},
        {68, 5, "dimensions 5"},
        {68, 3, "a dimension of 8, wanted 0 to 0"},
        {72, 0, "samples a frame 0"},
        {72, 65, "samples a frame 65"},
        {76, 0, "a dimension of 0"},
        {84, HELLO_MAX_DIM + 1, "a dimension of"},
        {88, 0x41410a41, "unprintable model name"},
        {316, 1, "reserved"},
    };
    char aux[HELLO_WIRE_BYTES];
    struct hello h = good(), got;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hello_encode(&h, aux);
        memcpy(aux + rows[i].offset, &rows[i].value, 4);
        assert_int_equal(hello_decode(&got, aux, sizeof(aux)), -EPROTO);
        if (!strstr(err_text(), rows[i].why))
            fail_msg("wanted \"%s\" in \"%s\"", rows[i].why, err_text());
    }
    hello_encode(&h, aux);
    memset(aux + 88, 'm', HELLO_NAME_BYTES);
    assert_int_equal(hello_decode(&got, aux, sizeof(aux)), -EPROTO);
    assert_non_null(strstr(err_text(), "does not end within 64 bytes"));
    hello_encode(&h, aux);
    assert_int_equal(hello_decode(&got, aux, sizeof(aux) - 1), -EPROTO);
    assert_int_equal(hello_decode(&got, aux, 0), -EPROTO);
}

static void unfit(const struct hello *h, const struct hello_want *w, const char *sentence)
{
    assert_int_equal(hello_check(h, w), -EPROTO);
    if (strncmp(err_text(), sentence, strlen(sentence)))
        fail_msg("wanted \"%s\", got \"%s\"", sentence, err_text());
}

static void test_fits(void **state)
{
    struct hello h = good();
    struct hello_want w = want();

    assert_int_equal(hello_check(&h, &w), 0);
    w.batch = w.micro_batches = w.ndim = w.classes = 0; /* a worker learns all these */
    w.dtype = w.codec = -1;
    h.batch = 7;
    h.micro_batches = 2;
    h.dtype = WIRE_F32;
    h.codec = 0;
    assert_int_equal(hello_check(&h, &w), 0);
}

static void test_each_difference(void **state)
{
    struct hello_want w = want();
    struct hello h;

#define UNFIT(change, sentence)  \
    do {                         \
        h = good();              \
        change;                  \
        unfit(&h, &w, sentence); \
    } while (0)
    UNFIT(h.mode = HELLO_INFER, "upstream infers, this node trains");
    UNFIT(strcpy(h.model, "small"), "upstream runs model small, this node vgg11");
    UNFIT(
        h.model_hash++,
        "upstream's vgg11 is another model (hash 123456789abcdef1, this node's 123456789abcdef0)");
    UNFIT(h.layer_to = 4, "upstream ends at layer 4, this node begins at 6");
    UNFIT(h.layer_to = 8, "upstream ends at layer 8, this node begins at 6");
    UNFIT(h.batch = 32, "upstream runs batch size 32, this node 64");
    UNFIT(h.micro_batches = 1, "upstream runs 1 micro-batches, this node 4");
    UNFIT(h.dtype = WIRE_F32, "upstream sends f32, this node takes f16");
    UNFIT(h.codec = 0, "upstream has codec factor 0, this node 4");
    UNFIT(h.classes = 10, "upstream's labels have 10 classes, this node's model 1000");
    UNFIT(h.dim[1] = 64, "upstream sends samples of shape (64, 8, 8), this node takes (128, 8, 8)");
    UNFIT(h.ndim = 3, "upstream sends samples of shape (128, 8), this node takes (128, 8, 8)");
#undef UNFIT
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),  cmocka_unit_test(test_answer_there_and_back),
        cmocka_unit_test(test_bounds),          cmocka_unit_test(test_fits),
        cmocka_unit_test(test_each_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
