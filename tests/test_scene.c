/* Scenes: a function of (seed, number), every class on them, and boxes that lie close around what
 * can be seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datasets/figures.h"
#include "datasets/scene.h"
#include "tests/refusal.h"

struct scene {
    struct picture p;
    struct scene_box box[SCENE_MAX_BOXES];
    int n;
};

static struct scene draw(uint64_t seed, uint32_t number, int w, int h)
{
    struct scene s;
    memset(s.box, 0xff, sizeof(s.box));
    assert_ok(picture_new(&s.p, w, h));
    s.n = scene_draw(&s.p, s.box, seed, number);
    return s;
}

static bool same_pixels(const struct scene *a, const struct scene *b)
{
    return a->p.w == b->p.w && a->p.h == b->p.h &&
           !memcmp(a->p.rgb, b->p.rgb, (size_t)a->p.w * (size_t)a->p.h * 3);
}

static void test_pure(void **state)
{
    for (uint32_t number = 0; number < 20; number++) {
        struct scene a = draw(1, number, 96, 64), b = draw(1, number, 96, 64);
        struct scene other = draw(2, number, 96, 64), next = draw(1, number + 1, 96, 64);
        assert_true(same_pixels(&a, &b));
        assert_memory_equal(a.box, b.box, sizeof(a.box));
        assert_false(same_pixels(&a, &other));
        assert_false(same_pixels(&a, &next));
        picture_close(&a.p);
        picture_close(&b.p);
        picture_close(&other.p);
        picture_close(&next.p);
    }
}

/* Of any size, the smallest too: boxes lie in the picture, hold something, are of all classes. */
static void test_boxes(void **state)
{
    int per_class[FIGURES] = {0}, count = 0, broad = 0, high = 0;
    for (uint32_t number = 0; number < 600; number++) {
        int w = 16 + (int)number % 77, h = 16 + (int)number % 50;
        struct scene s = draw(3, number, w, h);
        assert_in_range(s.n, 1, SCENE_MAX_BOXES);
        for (int i = 0; i < s.n; i++) {
            const struct scene_box *b = &s.box[i];
            assert_in_range(b->class, 0, FIGURES - 1);
            assert_true(b->x1 >= 0 && b->x1 < b->x2 && b->x2 <= w);
            assert_true(b->y1 >= 0 && b->y1 < b->y2 && b->y2 <= h);
            per_class[b->class]++;
            count++;
        }
        picture_close(&s.p);
        scene_size(number, &w, &h);
        assert_true(w >= 160 && w <= 640 && h >= 160 && h <= 640);
        broad += w > h;
        high += w < h;
    }
    assert_in_range(count, 600 * 2, 600 * 5);
    for (int i = 0; i < FIGURES; i++)
        assert_in_range(per_class[i], count / FIGURES * 3 / 4, count / FIGURES * 5 / 4);
    assert_true(broad > 100 && high > 100);
}

static int distance(const struct picture *p, int x, int y, const int ground[3])
{
    const uint8_t *rgb = p->rgb + ((size_t)y * (size_t)p->w + (size_t)x) * 3;
    int sum = 0;
    for (int c = 0; c < 3; c++)
        sum += abs(rgb[c] - ground[c]);
    return sum;
}

static bool inside(const struct scene_box *b, int x, int y, int margin)
{
    return x >= b->x1 - margin && x < b->x2 + margin && y >= b->y1 - margin && y < b->y2 + margin;
}

/* True on the pixels around box i, one to three pixels outside, that no other figure is near. */
static bool around(const struct scene *s, int i, int x, int y)
{
    if (!inside(&s->box[i], x, y, 3) || inside(&s->box[i], x, y, 1))
        return false;
    for (int j = 0; j < s->n; j++)
        if (j != i && inside(&s->box[j], x, y, 2))
            return false;
    return true;
}

/* True where the figure differs from the ground around it at all four sides of its box, and the
 * ground does not from itself. */
static bool close_around(const struct scene *s, int i)
{
    enum { APART = 120 };
    const struct scene_box *b = &s->box[i];
    long sum[3] = {0};
    int n = 0, ground[3], strange = 0, seen[4] = {0};
    for (int y = 0; y < s->p.h; y++)
        for (int x = 0; x < s->p.w; x++)
            for (int c = 0; c < 3 && around(s, i, x, y); c++, n++)
                sum[c] += s->p.rgb[((size_t)y * (size_t)s->p.w + (size_t)x) * 3 + (size_t)c];
    n /= 3;
    if (n == 0)
        return false;
    for (int c = 0; c < 3; c++)
        ground[c] = (int)(sum[c] / n);
    for (int y = 0; y < s->p.h; y++)
        for (int x = 0; x < s->p.w; x++) {
            bool apart = distance(&s->p, x, y, ground) > APART;
            strange += apart && around(s, i, x, y);
            if (!apart || !inside(b, x, y, 0))
                continue;
            seen[0] |= x < b->x1 + 3;
            seen[1] |= x >= b->x2 - 3;
            seen[2] |= y < b->y1 + 3;
            seen[3] |= y >= b->y2 - 3;
        }
    return strange * 20 < n && seen[0] && seen[1] && seen[2] && seen[3];
}

/* Not of every box: an edge of the ground or another figure may pass close by. */
static void test_boxes_are_close(void **state)
{
    int count = 0, right = 0;
    for (uint32_t number = 0; number < 40; number++) {
        struct scene s = draw(4, number, 200, 180);
        for (int i = 0; i < s.n; i++, count++)
            right += close_around(&s, i);
        picture_close(&s.p);
    }
    if (right * 100 < count * 85)
        fail_msg("%d of %d boxes lie close around a figure", right, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pure),
        cmocka_unit_test(test_boxes),
        cmocka_unit_test(test_boxes_are_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
