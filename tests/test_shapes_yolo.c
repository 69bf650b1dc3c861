/*
 * shapes-yolo as a user meets it: the program finds the figures of scenes that the model was not
 * trained on, in pictures of many sizes, at its default thresholds, with the weights that it brings
 * along and with the same as files.
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "datasets/figures.h"
#include "datasets/scene.h"
#include "tests/cli.h"
#include "tests/refusal.h"

enum { SEED = 20181, MAX_SCENES = 32 };

struct scene {
    struct scene_box box[SCENE_MAX_BOXES];
    int n, w, h;
};

struct score {
    int there, told, right;
};

static struct cli r;
static char root[1024]; /* of the repository: where the test was started */

static float least(float a, float b)
{
    return a < b ? a : b;
}

static float most(float a, float b)
{
    return a > b ? a : b;
}

/* Of a picture that `told` is about and that shows `s`, each figure once: told of its class, and
 * with an intersection over union of a half. */
static void count(struct score *score, json_t *told, const struct scene *s)
{
    bool taken[SCENE_MAX_BOXES] = {false};
    size_t i;
    json_t *t;
    json_array_foreach(told, i, t) {
        float x1 = (float)json_real_value(json_object_get(t, "x1"));
        float y1 = (float)json_real_value(json_object_get(t, "y1"));
        float x2 = (float)json_real_value(json_object_get(t, "x2"));
        float y2 = (float)json_real_value(json_object_get(t, "y2"));
        int class = (int)json_integer_value(json_object_get(t, "class"));
        assert_string_equal(json_string_value(json_object_get(t, "name")), figure_name[class]);
        for (int k = 0; k < s->n; k++) {
            const struct scene_box *b = &s->box[k];
            float w = least(x2, (float)b->x2) - most(x1, (float)b->x1);
            float h = least(y2, (float)b->y2) - most(y1, (float)b->y1);
            float both = most(w, 0) * most(h, 0);
            float all = (x2 - x1) * (y2 - y1) + (float)((b->x2 - b->x1) * (b->y2 - b->y1)) - both;
            if (taken[k] || b->class != class || both < 0.5f * all)
                continue;
            taken[k] = true;
            score->right++;
            break;
        }
    }
    score->told += (int)json_array_size(told);
    score->there += s->n;
}

/* The score of all that r.out tells, a line a picture in the order of `scene`. */
static struct score score_of(const struct scene scene[], int n)
{
    struct score score = {0};
    char *save, *line = strtok_r(r.out, "\n", &save);
    for (int i = 0; i < n; i++, line = strtok_r(NULL, "\n", &save)) {
        assert_non_null(line);
        json_t *j = json_loads(line, 0, NULL);
        assert_non_null(j);
        assert_int_equal(json_integer_value(json_object_get(j, "width")), scene[i].w);
        assert_int_equal(json_integer_value(json_object_get(j, "height")), scene[i].h);
        count(&score, json_object_get(j, "boxes"), &scene[i]);
        json_decref(j);
    }
    return score;
}

static void assert_good(struct score s)
{
    if (s.right < 0.85 * s.there || s.right < 0.9 * s.told)
        fail_msg("%d of %d figures found, %d boxes told", s.right, s.there, s.told);
}

/* n scenes of a seed, as files in a new folder; shrink: to so many percent of the size. */
static void write_scenes(struct scene scene[], int n, uint64_t seed, int shrink)
{
    if (access("scenes", F_OK) == 0)
        cli_remove("scenes");
    assert_int_equal(mkdir("scenes", 0777), 0);
    for (int i = 0; i < n; i++) {
        struct picture p;
        char path[64];
        uint32_t number = SCENE_HELD_OUT + (uint32_t)i;
        scene_size(number, &scene[i].w, &scene[i].h);
        scene[i].w = scene[i].w * shrink / 100;
        scene[i].h = scene[i].h * shrink / 100;
        assert_ok(picture_new(&p, scene[i].w, scene[i].h));
        scene[i].n = scene_draw(&p, scene[i].box, seed, number);
        snprintf(path, sizeof(path), "scenes/%03d.png", i);
        assert_ok(picture_write(&p, path));
        picture_close(&p);
    }
}

static void test_finds_figures(void **state)
{
    static struct scene scene[MAX_SCENES];
    write_scenes(scene, MAX_SCENES, SEED, 100);
    cli_expect(&r, "infer --model shapes-yolo --images scenes --inferences 0 --json --quiet", 0,
               "");
    assert_good(score_of(scene, MAX_SCENES));
}

/* Smaller pictures, in a letterbox too. */
static void test_other_sizes(void **state)
{
    static struct scene scene[MAX_SCENES / 2];
    write_scenes(scene, MAX_SCENES / 2, SEED + 1, 60);
    cli_expect(&r, "infer --model shapes-yolo --images scenes --inferences 0 --json --quiet", 0,
               "");
    assert_good(score_of(scene, MAX_SCENES / 2));
    cli_expect(
        &r, "infer --model shapes-yolo --images scenes --inferences 0 --json --quiet --letterbox",
        0, "");
    assert_good(score_of(scene, MAX_SCENES / 2));
}

/* With no pictures at hand it draws its own, of --seed; saved with boxes on them. */
static void test_own_scenes(void **state)
{
    static struct scene own[8], other[8];
    write_scenes(own, 8, 1, 100);
    write_scenes(other, 8, 7, 100);
    cli_remove("scenes");
    cli_expect(&r, "infer --model shapes-yolo --inferences 0 --json --quiet", 0, "");
    assert_good(score_of(own, 8));
    cli_expect(&r,
               "infer --model shapes-yolo --inferences 0 --json --quiet --seed 7 --save-detections "
               "found",
               0, "");
    assert_good(score_of(other, 8));
    for (uint32_t i = 0; i < 8; i++) {
        struct picture p, plain;
        struct scene_box box[SCENE_MAX_BOXES];
        char path[64];
        snprintf(path, sizeof(path), "found/scene%u_detected.png", i);
        assert_ok(picture_read(&p, path));
        assert_ok(picture_new(&plain, p.w, p.h));
        scene_draw(&plain, box, 7, SCENE_HELD_OUT + i);
        size_t same = 0, bytes = (size_t)p.w * (size_t)p.h * 3;
        for (size_t k = 0; k < bytes; k++)
            same += p.rgb[k] == plain.rgb[k];
        assert_true(same > bytes / 2 && same < bytes);
        picture_close(&p);
        picture_close(&plain);
    }
    cli_remove("found");
    cli_expect(&r, "infer --model shapes-yolo --inferences 9", 0, "");
    assert_non_null(strstr(r.out, "Weights: those that come with shapes-yolo"));
    assert_non_null(strstr(r.out, "8 pictures, the first is scene0: drawn here"));
}

/* Runs infer with these words; the same predictions as in the file "shipped"? */
static bool same_predictions(const char *words)
{
    char line[4096];
    size_t a_bytes, b_bytes;
    snprintf(line, sizeof(line), "infer --inferences 3 --output other %s", words);
    cli_expect(&r, line, 0, "");
    char *a = cli_file("shipped", &a_bytes), *b = cli_file("other", &b_bytes);
    bool same = a_bytes == b_bytes && !memcmp(a, b, a_bytes);
    free(a);
    free(b);
    return same;
}

static void test_weights_as_files(void **state)
{
    char words[3072];
    cli_expect(&r, "infer --model shapes-yolo --inferences 3 --output shipped", 0, "");
    assert_true(same_predictions("--model shapes-yolo"));

    snprintf(words, sizeof(words),
             "--model %s/models/shapes-yolo.cfg --weights %s/models/shapes-yolo.weights", root,
             root);
    assert_true(same_predictions(words));
    snprintf(words, sizeof(words),
             "convert %s/models/shapes-yolo.weights a.safetensors --model shapes-yolo", root);
    cli_expect(&r, words, 0, "");
    assert_true(same_predictions("--model shapes-yolo --weights a.safetensors"));
    cli_expect(&r, "convert a.safetensors b.weights --model shapes-yolo", 0, "");
    assert_true(same_predictions("--model shapes-yolo --weights b.weights"));

    cli_expect(&r, "init --model shapes-yolo --seed 3 --save fresh.safetensors", 0, "");
    assert_false(same_predictions("--model shapes-yolo --weights fresh.safetensors"));
    snprintf(words, sizeof(words), "--model %s/models/shapes-yolo.cfg", root);
    assert_false(same_predictions(words)); /* a .cfg has none */
    assert_non_null(strstr(r.out, "The weights are fresh"));
}

static void test_inspect(void **state)
{
    cli_expect(&r, "inspect --model shapes-yolo", 0, "");
    assert_non_null(strstr(r.out, "121754 parameters"));
    assert_non_null(strstr(r.out, "default cut: layers 0:4"));
}

/* The names beside the model's files, for darknet, are those that the program tells. */
static void test_names(void **state)
{
    char path[2048], all[256] = "";
    size_t bytes;
    for (int i = 0; i < FIGURES; i++)
        strcat(strcat(all, figure_name[i]), "\n");
    snprintf(path, sizeof(path), "%s/models/shapes-yolo.names", root);
    char *text = cli_file(path, &bytes);
    assert_string_equal(text, all);
    free(text);
}

static int enter(void **state)
{
    return getcwd(root, sizeof(root)) ? cli_enter(state) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_figures),    cmocka_unit_test(test_other_sizes),
        cmocka_unit_test(test_own_scenes),       cmocka_unit_test(test_inspect),
        cmocka_unit_test(test_weights_as_files), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, enter, cli_leave);
}
