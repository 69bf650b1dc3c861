/*
 * The embedded data set: ten kinds of figures, drawn when they are read, so that a run needs no
 * download. Figure, place, size, turn, colours, background and noise of a sample are a function of
 * (seed, split, number). It stands in for CIFAR-10 and FashionMNIST in tests, benches and first
 * runs; results on it say nothing about those. Loops run over RUN pixels, which compilers turn into
 * vectors.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/rng.h"
#include "datasets/figures.h"
#include "datasets/kinds.h"

enum {
    TRAIN_COUNT = 50000,
    TEST_COUNT = 10000,
    RUN = FIGURE_RUN,   /* pixels at a time; divides 28 * 28 and 32 * 32 */
    NOISE_COUNT = 8192, /* a plane reads h * w of them, from a place that is drawn */
    MAX_PIXELS = 32 * 32,
    WORDS = 24 /* random words of one sample */
};

struct shapes {
    struct dataset ds;
    uint64_t seed;
    enum dataset_split split;
    size_t pixels;                      /* of a plane */
    float x[MAX_PIXELS], y[MAX_PIXELS]; /* of the pixels' centres, in half picture widths */
    float noise[NOISE_COUNT];           /* [-1, 1) */
    float mean[3], inverse_std[3];
};

/* What is drawn of a sample, from its random words. */
struct sketch {
    int label;
    float ux, uy, u0, vx, vy, v0; /* (u, v): the figure's own coordinates, linear in (x, y) */
    float pixels;                 /* an edge's width: distance in pixels per unit of (u, v) */
    float ground[3], colour[3];   /* normalised, as what follows; light and noise may pass [0, 1] */
    float slope_x[3], slope_y[3]; /* the ground's gradient */
    float noise[3];
    uint32_t noise_at[3];
};

static float between(uint32_t word, float low, float high)
{
    return low + (high - low) * rng_uniform(word);
}

static void draw_sketch(struct sketch *k, const struct shapes *s, uint32_t number)
{
    uint32_t word[WORDS];
    struct rng r = rng_make(s->seed, RNG_SHAPES, (uint32_t)s->split, 0);
    for (uint64_t b = 0; b < WORDS / 4; b++)
        rng_block(&r, (uint64_t)number * (WORDS / 4) + b, word + 4 * b);

    k->label = (int)((uint64_t)word[0] * FIGURES >> 32);
    float size = between(word[1], 0.55f, 0.8f), turn = between(word[2], -0.45f, 0.45f);
    float reach = 0.9f - size; /* most of the figure stays in the picture */
    float cx = between(word[3], -reach, reach), cy = between(word[4], -reach, reach);
    float cosine = cosf(turn) / size, sine = sinf(turn) / size;
    k->ux = cosine, k->uy = sine, k->u0 = -(cx * cosine + cy * sine);
    k->vx = -sine, k->vy = cosine, k->v0 = cx * sine - cy * cosine;
    k->pixels = size * 0.5f * (float)s->ds.w;

    /* The figure is lighter than the ground; in colour, as often darker, and tinted. */
    float light = between(word[5], 0.6f, 0.9f), dark = between(word[6], 0.1f, 0.4f);
    bool swap = s->ds.c == 3 && word[7] >> 31;
    for (int c = 0; c < s->ds.c; c++) {
        float tint = s->ds.c == 3 ? 0.2f : 0.0f, scale = s->inverse_std[c];
        float figure_tint = between(word[8 + c], -tint, tint),
              ground_tint = between(word[11 + c], -tint, tint);
        k->colour[c] = ((swap ? dark : light) + figure_tint - s->mean[c]) * scale;
        k->ground[c] = ((swap ? light : dark) + ground_tint - s->mean[c]) * scale;
        k->slope_x[c] = between(word[14 + c], -0.1f, 0.1f) * scale;
        k->slope_y[c] = between(word[17 + c], -0.1f, 0.1f) * scale;
        k->noise[c] = between(word[20], 0.02f, 0.12f) * scale;
        k->noise_at[c] = word[21 + c] % (NOISE_COUNT - MAX_PIXELS);
    }
}

static void draw_run(const struct shapes *s, const struct sketch *k, size_t at, float *restrict out)
{
    const float *restrict x = s->x + at, *restrict y = s->y + at;
    float u[RUN], v[RUN], cover[RUN];
    for (int i = 0; i < RUN; i++) {
        u[i] = k->ux * x[i] + k->uy * y[i] + k->u0;
        v[i] = k->vx * x[i] + k->vy * y[i] + k->v0;
    }
    figure_distance[k->label](cover, u, v);
    for (int i = 0; i < RUN; i++)
        cover[i] = figure_cover(cover[i] * k->pixels);
    for (int c = 0; c < s->ds.c; c++, out += s->pixels) {
        const float *restrict noise = s->noise + k->noise_at[c] + at;
        float ground = k->ground[c], colour = k->colour[c];
        float slope_x = k->slope_x[c], slope_y = k->slope_y[c], strength = k->noise[c];
        for (int i = 0; i < RUN; i++) {
            float below = ground + slope_x * x[i] + slope_y * y[i];
            out[i] = below + cover[i] * (colour - below) + strength * noise[i];
        }
    }
}

static void shapes_read(struct dataset *ds, const uint32_t *index, int n, float *images,
                        int32_t *labels)
{
    const struct shapes *s = (const struct shapes *)ds;
    for (int i = 0; i < n; i++, images += (size_t)ds->c * s->pixels) {
        struct sketch k;
        draw_sketch(&k, s, index[i]);
        for (size_t at = 0; at < s->pixels; at += RUN)
            draw_run(s, &k, at, images + at);
        labels[i] = k.label;
    }
}

static void shapes_close(struct dataset *ds)
{
    free(ds);
}

static int shapes_open(const struct dataset_kind *kind, const struct dataset_want *want,
                       struct dataset **ds)
{
    static const struct dataset_ops ops = {
        .name = "shapes", .read = shapes_read, .close = shapes_close};
    bool colour = want->c == 3 && want->h == 32 && want->w == 32;
    if (!colour && !(want->c == 1 && want->h == 28 && want->w == 28))
        return err_set(EINVAL, "shapes draws 3x32x32 and 1x28x28, the model takes %dx%dx%d",
                       want->c, want->h, want->w);
    struct shapes *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(ENOMEM, "no memory for the data set shapes");
    s->ds = (struct dataset){.ops = &ops,
                             .count = want->split == DATASET_TRAIN ? TRAIN_COUNT : TEST_COUNT,
                             .classes = FIGURES,
                             .c = want->c,
                             .h = want->h,
                             .w = want->w,
                             .class_name = figure_name};
    s->seed = want->seed;
    s->split = want->split;
    s->pixels = (size_t)want->h * (size_t)want->w;
    float *x = s->x, *y = s->y;
    for (int row = 0; row < want->h; row++)
        for (int column = 0; column < want->w; column++) {
            *x++ = ((float)column + 0.5f) * 2.0f / (float)want->w - 1.0f;
            *y++ = ((float)row + 0.5f) * 2.0f / (float)want->h - 1.0f;
        }
    struct rng r = rng_make(want->seed, RNG_SHAPES, 2, 0); /* 0 and 1 are the splits' samples */
    for (uint64_t i = 0; i < NOISE_COUNT; i++)
        s->noise[i] = 2.0f * rng_uniform(rng_word(&r, i)) - 1.0f;
    /* As CIFAR-10's pictures are normalised; those of the MNIST family are not. */
    static const float mean[3] = {0.4914f, 0.4822f, 0.4465f}, std[3] = {0.2023f, 0.1994f, 0.2010f};
    for (int c = 0; c < 3; c++) {
        s->mean[c] = colour ? mean[c] : 0.0f;
        s->inverse_std[c] = colour ? 1.0f / std[c] : 1.0f;
    }
    *ds = &s->ds;
    return 0;
}

static const struct dataset_kind shapes = {.name = "shapes", .open = shapes_open};
const struct dataset_kind *const shapes_kinds[] = {&shapes, NULL};
