/*
 * Drawing scenes in three passes over the picture's bytes: the ground, the figures one by one,
 * noise over all. Light, tints and turns are as in shapes.c; what that has not: figures are small,
 * of many sizes, light and dark ones on one ground, and the ground has waves and, now and then, an
 * edge.
 */
#include "datasets/scene.h"

#include <math.h>
#include <stdbool.h>

#include "base/rng.h"
#include "datasets/figures.h"

enum {
    RUN = FIGURE_RUN,
    PLACES = 8, /* that are tried for a figure */
};

/* Random words of a scene, taken in order. */
struct words {
    struct rng r;
    uint64_t next;
};

static float between(struct words *w, float low, float high)
{
    return low + (high - low) * rng_uniform(rng_word(&w->r, w->next++));
}

static int one_of(struct words *w, int n)
{
    return (int)((uint64_t)rng_word(&w->r, w->next++) * (uint64_t)n >> 32);
}

struct wave {
    float x, y, phase, strength;
};

struct ground {
    float light; /* of all channels together */
    float colour[3], slope_x[3], slope_y[3];
    struct wave wave[2];
    float edge_x, edge_y, edge_at, edge[3]; /* what is added on one side of a line */
};

struct sketch {
    int class;
    float x, y, r;      /* pixels; r: one unit of the figure's coordinates */
    float cosine, sine; /* of its turn */
    float colour[3];
};

static uint8_t byte_of(float x)
{
    x = 255 * x + 0.5f;
    return x > 255 ? 255 : x > 0 ? (uint8_t)x : 0;
}

static struct ground sketch_ground(struct words *w)
{
    struct ground g = {.light = between(w, 0.12f, 0.88f)};
    for (int c = 0; c < 3; c++) {
        g.colour[c] = g.light + between(w, -0.15f, 0.15f);
        g.slope_x[c] = between(w, -0.08f, 0.08f);
        g.slope_y[c] = between(w, -0.08f, 0.08f);
    }
    for (int i = 0; i < 2; i++) {
        float turn = between(w, 0, 6.2831853f), length = between(w, 1, 12);
        g.wave[i].x = length * cosf(turn);
        g.wave[i].y = length * sinf(turn);
        g.wave[i].phase = between(w, 0, 6.2831853f);
        g.wave[i].strength = between(w, 0, 0.05f);
    }
    if (one_of(w, 3) == 0) {
        float turn = between(w, 0, 6.2831853f), strength = between(w, 0.04f, 0.12f);
        g.edge_x = cosf(turn);
        g.edge_y = sinf(turn);
        g.edge_at = between(w, -0.6f, 0.6f);
        for (int c = 0; c < 3; c++)
            g.edge[c] = strength * between(w, 0.5f, 1.5f);
    }
    return g;
}

/* (x, y) of a pixel: -1 to 1 across the picture. */
static void draw_ground(struct picture *p, const struct ground *g)
{
    uint8_t *to = p->rgb;
    for (int row = 0; row < p->h; row++) {
        float y = ((float)row + 0.5f) * 2 / (float)p->h - 1;
        for (int column = 0; column < p->w; column++, to += 3) {
            float x = ((float)column + 0.5f) * 2 / (float)p->w - 1, wave = 0;
            for (int i = 0; i < 2; i++) {
                const struct wave *v = &g->wave[i];
                wave += v->strength * sinf(v->x * x + v->y * y + v->phase);
            }
            bool beyond = g->edge_x * x + g->edge_y * y > g->edge_at;
            for (int c = 0; c < 3; c++)
                to[c] = byte_of(g->colour[c] + g->slope_x[c] * x + g->slope_y[c] * y + wave +
                                (beyond ? g->edge[c] : 0));
        }
    }
}

static bool is_free(const struct sketch *k, const struct sketch *other, int n)
{
    for (int i = 0; i < n; i++) {
        float dx = k->x - other[i].x, dy = k->y - other[i].y, reach = 0.9f * (k->r + other[i].r);
        if (dx * dx + dy * dy < reach * reach)
            return false;
    }
    return true;
}

/* False where no free place was found. */
static bool sketch_figure(struct sketch *k, const struct sketch *other, int n, struct words *w,
                          const struct ground *g, const struct picture *p)
{
    float turn = between(w, -0.45f, 0.45f), side = sqrtf((float)p->w * (float)p->h);
    k->class = one_of(w, FIGURES);
    k->r = side * 0.07f * expf(between(w, 0, logf(0.22f / 0.07f)));
    k->cosine = cosf(turn) / k->r;
    k->sine = sinf(turn) / k->r;
    /* Lighter or darker than the ground: where there is more room, or either way. */
    float room_up = 1 - g->light, room_down = g->light, away = between(w, 0.3f, 0.75f);
    bool up = room_up > 0.35f && room_down > 0.35f ? one_of(w, 2) == 0 : room_up > room_down;
    float light = up ? g->light + fminf(away, room_up) : g->light - fminf(away, room_down);
    for (int c = 0; c < 3; c++)
        k->colour[c] = light + between(w, -0.2f, 0.2f);
    for (int i = 0; i < PLACES; i++) {
        k->x = between(w, 0.8f * k->r, (float)p->w - 0.8f * k->r);
        k->y = between(w, 0.8f * k->r, (float)p->h - 0.8f * k->r);
        if (is_free(k, other, n))
            return true;
    }
    return false;
}

/* One run of pixels of a row; the first and the last column that are mostly covered, in the box. */
static void draw_run(struct picture *p, const struct sketch *k, int row, int column,
                     struct scene_box *b)
{
    float u[RUN], v[RUN], cover[RUN], y = (float)row + 0.5f - k->y;
    int n = p->w - column < RUN ? p->w - column : RUN;
    for (int i = 0; i < RUN; i++) {
        float x = (float)(column + i) + 0.5f - k->x;
        u[i] = k->cosine * x + k->sine * y;
        v[i] = k->cosine * y - k->sine * x;
    }
    figure_distance[k->class](cover, u, v);
    uint8_t *to = p->rgb + ((size_t)row * (size_t)p->w + (size_t)column) * 3;
    for (int i = 0; i < n; i++, to += 3) {
        float part = figure_cover(cover[i] * k->r);
        for (int c = 0; c < 3; c++)
            to[c] = byte_of((float)to[c] / 255 * (1 - part) + k->colour[c] * part);
        if (part < 0.5f)
            continue;
        b->x1 = column + i < b->x1 ? column + i : b->x1;
        b->x2 = column + i >= b->x2 ? column + i + 1 : b->x2;
        b->y1 = row < b->y1 ? row : b->y1;
        b->y2 = row + 1;
    }
}

static struct scene_box draw_figure(struct picture *p, const struct sketch *k)
{
    struct scene_box b = {k->class, p->w, p->h, 0, 0};
    int reach = (int)(1.1f * k->r) + 2, left = (int)k->x - reach, top = (int)k->y - reach;
    left = left > 0 ? left : 0;
    for (int row = top > 0 ? top : 0; row < p->h && row <= (int)k->y + reach; row++)
        for (int column = left; column < p->w && column <= (int)k->x + reach; column += RUN)
            draw_run(p, k, row, column, &b);
    return b;
}

/* A byte of a random word for each channel. */
static void draw_noise(struct picture *p, const struct rng *r, float strength)
{
    size_t pixels = (size_t)p->w * (size_t)p->h;
    int scale = (int)(strength * 255);
    uint32_t word[4];
    for (size_t i = 0; i < pixels; i++) {
        if (i % 4 == 0)
            rng_block(r, i / 4, word);
        for (int c = 0; c < 3; c++) {
            int noise = (int)(word[i % 4] >> 8 * c & 255) - 128;
            int x = p->rgb[3 * i + (size_t)c] + noise * scale / 128;
            p->rgb[3 * i + (size_t)c] = (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
        }
    }
}

void scene_size(uint32_t number, int *w, int *h)
{
    static const int size[][2] = {{320, 320}, {480, 320}, {256, 256}, {320, 400},
                                  {400, 300}, {224, 320}, {416, 416}, {512, 288}};
    const int *s = size[number % (sizeof(size) / sizeof(*size))];
    *w = s[0];
    *h = s[1];
}

int scene_draw(struct picture *p, struct scene_box box[SCENE_MAX_BOXES], uint64_t seed,
               uint32_t number)
{
    struct words w = {rng_make(seed, RNG_SCENE, 0, number), 0};
    struct rng noise = rng_make(seed, RNG_SCENE, 1, number);
    struct sketch k[SCENE_MAX_BOXES];
    struct ground g = sketch_ground(&w);
    int wanted = 1 + one_of(&w, SCENE_MAX_BOXES), n = 0;
    float strength = between(&w, 0, 0.12f);
    draw_ground(p, &g);
    for (int i = 0; i < wanted; i++)
        n += sketch_figure(&k[n], k, n, &w, &g, p);
    for (int i = 0; i < n; i++)
        box[i] = draw_figure(p, &k[i]);
    draw_noise(p, &noise, strength);
    return n;
}
