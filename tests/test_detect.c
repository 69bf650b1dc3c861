/*
 * Detections from raw predictions: the original's suppression, against its numbers; what is odd in
 * the input; the way back to the picture; what crosses the wire; what is drawn.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "engine/class_names.h"
#include "engine/detect.h"
#include "engine/draw.h"

enum { CLASSES = 3, ROWS = 14 };

static void near(float got, float want)
{
    if (!(fabsf(got - want) <= 1e-5f * (1 + fabsf(want))))
        fail_msg("%.9g, wanted %.9g", (double)got, (double)want);
}

/* Three objects, two classes that overlap, several boxes each. The wanted ones are what PyTorch's
 * operations give when put together as the original has them. */
static void test_suppression(void **state)
{
    (void)state;
    static const float raw[ROWS][5 + CLASSES] = {
        {30, 40, 20, 16, 0.300000012f, 0.100000001f, 0.550000012f, 0.200000003f},
        {61.5f, 18.75f, 24, 22, 0.524999976f, 0.280000001f, 0.449999988f, 0.200000003f},
        {38, 41.5f, 28, 16, 0.75f, 0.460000008f, 0.349999994f, 0.200000003f},
        {34.5f, 36.25f, 20, 22, 0.344999999f, 0.219999999f, 0.25f, 0.200000003f},
        {66, 20, 24, 16, 0.569999993f, 0.400000006f, 0.150000006f, 0.200000003f},
        {35, 42.75f, 28, 22, 0.795000017f, 0.159999996f, 0.5f, 0.200000003f},
        {31.5f, 37.5f, 20, 16, 0.389999986f, 0.340000004f, 0.400000006f, 0.200000003f},
        {63, 16.25f, 24, 22, 0.61500001f, 0.100000001f, 0.300000012f, 0.200000003f},
        {39.5f, 44, 28, 16, 0.839999974f, 0.280000001f, 0.200000003f, 0.200000003f},
        {36, 38.75f, 20, 22, 0.435000002f, 0.460000008f, 0.550000012f, 0.200000003f},
        {60, 17.5f, 24, 16, 0.660000026f, 0.219999999f, 0.449999988f, 0.200000003f},
        {36.5f, 40.25f, 28, 22, 0.88499999f, 0.400000006f, 0.349999994f, 0.200000003f},
        {33, 40, 20, 16, 0.479999989f, 0.159999996f, 0.25f, 0.200000003f},
        {64.5f, 18.75f, 24, 22, 0.704999983f, 0.340000004f, 0.150000006f, 0.200000003f},
    };
    static const float want[4][7] = {
        {22.833334f, 30.8026314f, 46.5526314f, 51.1184196f, 0.795000017f, 0.5f, 1},
        {23.9727268f, 32.8287888f, 51.9727325f, 50.9742432f, 0.88499999f, 0.400000006f, 0},
        {49.4625015f, 7.53750086f, 73.4625015f, 27.3375015f, 0.660000026f, 0.449999988f, 1},
        {53.1705856f, 9.65000057f, 77.1705933f, 28.9676476f, 0.704999983f, 0.340000004f, 0},
    };
    struct box box[ROWS], scratch[ROWS];
    struct detect_limits limits = {0.4f, 0.3f};
    int n = detect_boxes(box, raw[0], ROWS, CLASSES, &limits, scratch);
    assert_int_equal(n, 4);
    for (int i = 0; i < n; i++) {
        near(box[i].x1, want[i][0]);
        near(box[i].y1, want[i][1]);
        near(box[i].x2, want[i][2]);
        near(box[i].y2, want[i][3]);
        near(box[i].conf, want[i][4]);
        near(box[i].class_conf, want[i][5]);
        assert_int_equal(box[i].class, (int)want[i][6]);
    }
}

/* Edges count as pixels: two boxes of 9 pixels, one apart, share a column of ten. */
static void test_odd_input(void **state)
{
    (void)state;
    struct box box[4], scratch[4];
    float raw[4][6] = {{5, 5, 9, 9, 0.9f, 1},
                       {5, 5, 9, 9, NAN, 1},
                       {INFINITY, 5, 9, 9, 0.9f, 1},
                       {5, 5, 9, 9, 0.9f, NAN}};
    assert_int_equal(detect_boxes(box, raw[0], 4, 1, &(struct detect_limits){0.5f, 0.3f}, scratch),
                     1);
    assert_int_equal(box[0].number, 0);
    assert_int_equal(detect_boxes(box, raw[0], 4, 1, &(struct detect_limits){0.91f, 0.3f}, scratch),
                     0);
    /* no overlap exceeds 1: all are kept, equals in the order in which they came */
    float same[3][6] = {{5, 5, 9, 9, 0.5f, 1}, {5, 5, 9, 9, 0.5f, 1}, {5, 5, 9, 9, 0.5f, 1}};
    assert_int_equal(detect_boxes(box, same[0], 3, 1, &(struct detect_limits){0.5f, 1}, scratch),
                     3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(box[i].number, i);
    /* 10 x 10 pixels each, 19 x 10 in all, one column of ten shared: 10 / 190 */
    float apart[2][6] = {{4.5f, 4.5f, 9, 9, 0.9f, 1}, {13.5f, 4.5f, 9, 9, 0.9f, 1}};
    assert_int_equal(
        detect_boxes(box, apart[0], 2, 1, &(struct detect_limits){0, 0.0525f}, scratch), 1);
    assert_int_equal(
        detect_boxes(box, apart[0], 2, 1, &(struct detect_limits){0, 0.0527f}, scratch), 2);
    /* objectness 0 is no weight */
    raw[0][4] = 0;
    assert_int_equal(detect_boxes(box, raw[0], 1, 1, &(struct detect_limits){0, 0.3f}, scratch), 1);
    near(box[0].x1, 0.5f);
}

static void test_map(void **state)
{
    (void)state;
    struct box b = {.x1 = 104, .y1 = 208, .x2 = 312, .y2 = 500};
    detect_map(&b, &(struct detect_view){.w = 832, .h = 208, .in_w = 416, .in_h = 416});
    near(b.x1, 208);
    near(b.y1, 104);
    near(b.x2, 624);
    near(b.y2, 208); /* clipped */
    /* 416 x 104 in the middle: 156 rows above */
    b = (struct box){.x1 = -3, .y1 = 156, .x2 = 208, .y2 = 208};
    detect_map(&b, &(struct detect_view){832, 208, 416, 416, true, 416, 104});
    near(b.x1, 0);
    near(b.y1, 0);
    near(b.x2, 416);
    near(b.y2, 104);
    /* 104 x 416: 156 columns on the left */
    b = (struct box){.x1 = 156, .y1 = 0, .x2 = 208, .y2 = 208};
    detect_map(&b, &(struct detect_view){208, 832, 416, 416, true, 104, 416});
    near(b.x1, 0);
    near(b.x2, 104);
    near(b.y2, 416);
}

static void test_wire(void **state)
{
    (void)state;
    struct box in[2] = {{1, 2, 3, 4, 0.5f, 0.25f, 79, 0}, {5, 6, 7, 8, 1, 1, 0, 1}}, out[2];
    float wire[2 * BOX_FLOATS];
    detect_pack(wire, in, 2);
    assert_int_equal(detect_unpack(out, wire, 2, 80), 0);
    assert_memory_equal(in, out, sizeof(in));
    static const float off[] = {80, -1, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        wire[6] = off[i];
        assert_int_equal(detect_unpack(out, wire, 2, 80), -EPROTO);
    }
    wire[6] = 1;
    wire[0] = NAN;
    assert_int_equal(detect_unpack(out, wire, 2, 80), -EPROTO);
}

/* A box leaves marks on its edges and none inside; whatever lies outside is cut off. */
static void test_draw(void **state)
{
    (void)state;
    struct picture p;
    assert_int_equal(picture_new(&p, 40, 30), 0);
    draw_box(&p, &(struct box){.x1 = 5, .y1 = 12, .x2 = 35, .y2 = 28}, "f");
    for (int y = 0; y < 30; y++)
        for (int x = 0; x < 40; x++) {
            bool edge =
                x >= 5 && x < 35 && y >= 12 && y < 28 && (x == 5 || x == 34 || y == 12 || y == 27);
            bool label = y >= 3 && y < 12 && x >= 5 && x < 12;
            const uint8_t *v = p.rgb + (y * 40 + x) * 3;
            if (!label && edge != (v[0] || v[1] || v[2]))
                fail_msg("(%d, %d)", x, y);
        }
    for (int x = 5; x < 12; x++) { /* paper, and the F's two upper rows */
        assert_true((p.rgb[(4 * 40 + x) * 3] == 0) == (x >= 6 && x < 11));
        assert_true((p.rgb[(5 * 40 + x) * 3] == 0) == (x == 6));
    }
    draw_box(&p, &(struct box){.x1 = -1e6f, .y1 = -50, .x2 = 1e6f, .y2 = 3000}, "far \xff outside");
    draw_box(&p, &(struct box){.x1 = 39, .y1 = 0, .x2 = 39, .y2 = 0, .class = 12345}, "");
    picture_close(&p);
}

static void test_names(void **state)
{
    (void)state;
    char text[32];
    struct model coco = {.name = "yolov3", .classes = 80}, own = {.name = "own", .classes = 10},
                 figures = {.name = "shapes-yolo", .classes = 10},
                 not_figures = {.name = "shapes-yolo", .classes = 3};
    assert_string_equal(class_name(&coco, 16, text, sizeof(text)), "dog");
    assert_string_equal(class_name(&coco, 79, text, sizeof(text)), "toothbrush");
    assert_string_equal(class_name(&own, 2, text, sizeof(text)), "class 2");
    assert_string_equal(class_name(&figures, 0, text, sizeof(text)), "circle");
    assert_string_equal(class_name(&figures, 9, text, sizeof(text)), "dots");
    assert_string_equal(class_name(&not_figures, 2, text, sizeof(text)), "class 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suppression), cmocka_unit_test(test_odd_input),
        cmocka_unit_test(test_map),         cmocka_unit_test(test_wire),
        cmocka_unit_test(test_draw),        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
