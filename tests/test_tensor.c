/* Shapes, sizes, and the arena that plans and places with the same calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernels/tensor.h"
#include "tests/check.h"

static void sizes(void **state)
{
    struct tensor t = tensor_f32(4, (int[]){64, 3, 32, 31});
    assert_int_equal(t.dtype, DTYPE_F32);
    assert_null(t.data);
    assert_int_equal(tensor_count(&t), 64 * 3 * 32 * 31);
    assert_int_equal(tensor_bytes(&t), 4 * 64 * 3 * 32 * 31);
    assert_int_equal(tensor_row(&t), 3 * 32 * 31);
    t.dtype = DTYPE_F16;
    assert_int_equal(tensor_bytes(&t), 2 * 64 * 3 * 32 * 31);

    struct tensor scalar = tensor_f32(0, NULL);
    assert_int_equal(tensor_count(&scalar), 1);
    assert_int_equal(tensor_row(&scalar), 1);
    struct tensor none = tensor_f32(2, (int[]){0, 5});
    assert_int_equal(tensor_count(&none), 0);
    assert_int_equal(tensor_row(&none), 5);
}

static void sizes_beyond_int(void **state)
{
    struct tensor t = tensor_f32(4, (int[]){4096, 512, 64, 64});
    assert_true(tensor_count(&t) == (size_t)4096 * 512 * 64 * 64);
    assert_true(tensor_bytes(&t) == (size_t)4 * 4096 * 512 * 64 * 64);
    assert_true(tensor_row(&t) == (size_t)512 * 64 * 64);
}

static void same_shape(void **state)
{
    struct tensor a = tensor_f32(2, (int[]){2, 3}), b = tensor_f32(2, (int[]){2, 3});
    assert_true(tensor_same_shape(&a, &b));
    b.dim[1] = 4;
    assert_false(tensor_same_shape(&a, &b));
    struct tensor c = tensor_f32(3, (int[]){2, 3, 1});
    assert_false(tensor_same_shape(&a, &c));
}

static void names(void **state)
{
    static const char *const name[DTYPE_COUNT] = {"F32", "F16", "I32", "U8"};
    static const size_t bytes[DTYPE_COUNT] = {4, 2, 4, 1};
    for (int i = 0; i < DTYPE_COUNT; i++) {
        assert_string_equal(dtype_name(i), name[i]);
        assert_int_equal(dtype_bytes(i), bytes[i]);
    }
}

static void shape_text(void **state)
{
    char text[64];
    struct tensor t = tensor_f32(4, (int[]){64, 3, 32, 32}), s = tensor_f32(0, NULL);
    struct tensor one = tensor_f32(1, (int[]){7});
    assert_string_equal(tensor_shape_text(&t, text, sizeof(text)), "(64, 3, 32, 32)");
    assert_string_equal(tensor_shape_text(&one, text, sizeof(text)), "(7)");
    assert_string_equal(tensor_shape_text(&s, text, sizeof(text)), "()");
    for (size_t n = 1; n < 16; n++) { /* cut, never past the end */
        memset(text, 'x', sizeof(text));
        tensor_shape_text(&t, text, n);
        assert_int_equal(strlen(text), n - 1);
        assert_memory_equal(text, "(64, 3, 32, 32)", n - 1);
        for (size_t i = n; i < sizeof(text); i++)
            assert_int_equal(text[i], 'x');
    }
}

static void place_all(struct arena *a, struct tensor t[3])
{
    t[0] = tensor_f32(1, (int[]){1});
    t[1] = tensor_f32(2, (int[]){5, 7});
    t[2] = tensor_f32(1, (int[]){100});
    t[2].dtype = DTYPE_U8;
    for (int i = 0; i < 3; i++)
        arena_place(a, &t[i]);
}

static void arena_plans_then_places(void **state)
{
    struct device *d = check_device("auto", 1);
    struct tensor t[3];
    struct arena a = {NULL, 0};
    place_all(&a, t);
    assert_int_equal(a.used, 64 + 192 + 100);
    for (int i = 0; i < 3; i++)
        assert_null(t[i].data);

    struct buffer b;
    assert_int_equal(buffer_open(&b, d, PLACE_DEVICE, a.used, "test"), 0);
    size_t planned = a.used;
    a = (struct arena){&b, 0};
    place_all(&a, t);
    assert_int_equal(a.used, planned);
    assert_ptr_equal(t[0].data, b.base);
    assert_ptr_equal(t[1].data, (char *)b.base + 64);
    assert_ptr_equal(t[2].data, (char *)b.base + 64 + 192);
    for (int i = 0; i < 3; i++)
        assert_int_equal(t[i].place, PLACE_DEVICE);
    buffer_close(&b);
    device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),      cmocka_unit_test(sizes_beyond_int),
        cmocka_unit_test(same_shape), cmocka_unit_test(names),
        cmocka_unit_test(shape_text), cmocka_unit_test(arena_plans_then_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
