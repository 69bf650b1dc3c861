/* Every field of a head, wrong in every way that has a sentence of its own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/wire.h"

static const struct wire_expect expect = {
    .types = 1u << WIRE_ACTIVATION | 1u << WIRE_LOSS,
    .dtype = WIRE_F32,
    .ndim = 4,
    .dim = {64, 3, 8, 8},
    .label_classes = 10,
    .payload_max = 64 * 3 * 8 * 8 * 4,
    .aux_max = 64 * 4,
};

static struct wire_head good(void)
{
    int dim[] = {64, 3, 8, 8};
    struct wire_head h;

    wire_head_init(&h, WIRE_ACTIVATION, 5);
    wire_head_shape(&h, WIRE_F32, 4, dim);
    h.n_samples = h.n_full = 64;
    h.aux_bytes = 256;
    h.micro_count = 1;
    return h;
}

static void refused(const struct wire_head *h, const struct wire_expect *x, const char *why)
{
    assert_int_equal(wire_check(h, x, 5), -EPROTO);
    if (!strstr(err_text(), why))
        fail_msg("wanted \"%s\" in \"%s\"", why, err_text());
}

static void test_layout(void **state)
{
    struct wire_head h = good();
    const unsigned char *b = (const unsigned char *)&h;

    assert_memory_equal(b, "SPEN\1\0\2\0", 8); /* magic, version, type, dtype: little-endian */
    assert_int_equal(b[16], 5);
    assert_int_equal(b[36], 64);
}

static void test_good(void **state)
{
    struct wire_head h = good();
    int fewer[] = {3, 3, 8, 8};

    assert_int_equal(wire_check(&h, &expect, 5), 0);
    wire_head_shape(&h, WIRE_F32, 4, fewer); /* the last batch may be short */
    h.n_samples = 3;
    h.aux_bytes = 12;
    assert_int_equal(wire_check(&h, &expect, 5), 0);
    wire_head_init(&h, WIRE_END, 0);
    assert_int_equal(wire_check(&h, &expect, 5), 0);
    wire_head_init(&h, WIRE_ERROR, 0);
    h.aux_bytes = WIRE_SENTENCE_MAX;
    assert_int_equal(wire_check(&h, &expect, 5), 0);
    wire_head_init(&h, WIRE_LOSS, 5);
    h.micro_count = 1;
    assert_int_equal(wire_check(&h, &expect, 5), 0);
}

static void test_each_field(void **state)
{
    const struct {
        size_t offset, bytes;
        uint64_t value;
        const char *why;
    } rows[] = {
        {offsetof(struct wire_head, magic), 4, 0x20544547,
         "not a frame of this protocol"}, /* "GET " */
        {offsetof(struct wire_head, version), 2, 2, "peer speaks protocol version 2, this node 1"},
        {offsetof(struct wire_head, type), 1, WIRE_TYPE_COUNT, "unknown type 8"},
        {offsetof(struct wire_head, type), 1, 255, "unknown type 255"},
        {offsetof(struct wire_head, type), 1, WIRE_HELLO, "HELLO frame in the middle"},
        {offsetof(struct wire_head, type), 1, WIRE_ANSWER, "ANSWER frame in the middle"},
        {offsetof(struct wire_head, type), 1, WIRE_GRADIENT, "has none of them in this direction"},
        {offsetof(struct wire_head, type), 1, WIRE_LOSS, "wanted none"},
        {offsetof(struct wire_head, type), 1, WIRE_END, "END frame with 256 bytes of text"},
        {offsetof(struct wire_head, dtype), 1, WIRE_F16, "element type 1, agreed on 0"},
        {offsetof(struct wire_head, dtype), 1, 9, "unknown element type 9"},
        {offsetof(struct wire_head, flags), 4, 1, "unknown flags 0x1"},
        {offsetof(struct wire_head, reserved), 1, 1, "reserved bytes"},
        {offsetof(struct wire_head, reserved) + 39, 1, 1, "reserved bytes"},
        {offsetof(struct wire_head, seq), 8, 4, "number 4, wanted 5"},
        {offsetof(struct wire_head, seq), 8, UINT64_MAX, "wanted 5"},
        {offsetof(struct wire_head, ndim), 4, 0, "of 0 dimensions"},
        {offsetof(struct wire_head, ndim), 4, 5, "of 5 dimensions"},
        {offsetof(struct wire_head, ndim), 4, 3, "a dimension beyond its 3"},
        {offsetof(struct wire_head, dim), 4, 65, "agreed on (64, 3, 8, 8)"},
        {offsetof(struct wire_head, dim) + 4, 4, 4, "shape (64, 4, 8, 8), agreed on (64, 3, 8, 8)"},
        {offsetof(struct wire_head, dim) + 12, 4, 0, "shape (64, 3, 8, 0)"},
        {offsetof(struct wire_head, dim), 4, 63, "64 samples, its shape says 63"},
        {offsetof(struct wire_head, n_samples), 4, 0, "0 samples, its shape says 64"},
        {offsetof(struct wire_head, payload_bytes), 8, 49151,
         "49151 payload bytes, its shape and type make 49152"},
        {offsetof(struct wire_head, payload_bytes), 8, UINT64_MAX, "its shape and type make 49152"},
        {offsetof(struct wire_head, aux_bytes), 4, 0, "0 bytes of labels, wanted 256"},
        {offsetof(struct wire_head, aux_bytes), 4, UINT32_MAX, "wanted 256"},
        {offsetof(struct wire_head, micro), 4, 1, "micro-batch 1 of 1"},
        {offsetof(struct wire_head, micro_count), 4, 0, "micro-batch 0 of 0"},
        {offsetof(struct wire_head, n_full), 4, 63, "64 samples of a whole batch of 63"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire_head h = good();
        memcpy((char *)&h + rows[i].offset, &rows[i].value, rows[i].bytes);
        refused(&h, &expect, rows[i].why);
    }
}

static void test_sizes_against_the_slot(void **state)
{
    struct wire_expect x = expect;
    struct wire_head h = good();
    int huge[] = {1 << 30, 1 << 30, 1 << 30, 1 << 30}, boxes[] = {2, 7};

    x.payload_max = 49151;
    refused(&h, &x, "49152 bytes, slot holds 49151: do both sides run the same batch size?");
    x = expect;
    x.aux_max = 255;
    refused(&h, &x, "256 bytes of labels, slot holds 255");

    /* Any shape, as a detector answers: its size alone counts, and cannot overflow. */
    x = (struct wire_expect){.types = 1u << WIRE_PREDICTION, .payload_max = 56};
    wire_head_init(&h, WIRE_PREDICTION, 5);
    h.micro_count = 1;
    wire_head_shape(&h, WIRE_F32, 2, boxes);
    assert_int_equal(wire_check(&h, &x, 5), 0);
    x.payload_max = 55;
    refused(&h, &x, "56 bytes, slot holds 55");
    wire_head_shape(&h, WIRE_F32, 4, huge);
    refused(&h, &x, "overflow");
}

static void test_labels(void **state)
{
    int32_t labels[] = {0, 9, 5, 1};

    assert_int_equal(wire_check_labels(labels, 4, 10), 0);
    labels[2] = 10;
    assert_int_equal(wire_check_labels(labels, 4, 10), -EPROTO);
    assert_string_equal(err_text(), "label 2 of the batch is 10, wanted 0 to 9");
    labels[2] = -1;
    assert_int_equal(wire_check_labels(labels, 4, 10), -EPROTO);
    assert_int_equal(wire_check_labels(NULL, 0, 0), 0);
}

static void test_sentence(void **state)
{
    char text[8];

    assert_string_equal(wire_sentence(text, sizeof(text), "ab\ncd\033[31m", 10), "ab?cd?[");
    assert_string_equal(wire_sentence(text, sizeof(text), "abc", 2), "ab");
    assert_string_equal(wire_sentence(text, sizeof(text), "a\0b", 3), "a");
    assert_string_equal(wire_sentence(text, sizeof(text), "", 0), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),     cmocka_unit_test(test_good),
        cmocka_unit_test(test_each_field), cmocka_unit_test(test_sizes_against_the_slot),
        cmocka_unit_test(test_labels),     cmocka_unit_test(test_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
