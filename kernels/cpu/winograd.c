/* Winograd convolutions: what both passes share, and the choice between them and the plain sum. */
#include "kernels/cpu/winograd.h"

#include <string.h>

#include "kernels/cpu/conv2d.h"
#include "kernels/cpu/winograd_math.h"

/* What is transformed should still be in L2 or so when it is multiplied; but the fewer tiles are
 * taken together, the more often the transformed weights are read. */
enum { STEP_BYTES = 1 << 20, LEAST_STEP = 96, TILES_A_JOB = 4 };

static struct winograd plan_of(int m, const struct conv2d_dims *s)
{
    struct winograd w = {.m = m, .a = m + 2, .n = s->n, .c = s->c, .k = s->k, .h = s->h, .w = s->w};
    w.top = s->ph;
    w.left = s->pw;
    w.oh = s->oh;
    w.ow = s->ow;
    w.th = (s->oh + m - 1) / m;
    w.tw = (s->ow + m - 1) / m;
    w.tiles = s->n * w.th * w.tw;
    w.cp = gemm_round_up(s->c, VL);
    w.kp = gemm_round_up(s->k, VL);
    w.v_row = winograd_stride(w.cp);
    w.m_row = winograd_stride(w.kp);
    int fit = STEP_BYTES / (int)sizeof(float) / (w.a * w.a) / (int)(w.v_row + w.m_row);
    int least = fit > LEAST_STEP ? fit : LEAST_STEP;
    int steps = w.tiles > least ? w.tiles / least : 1;
    w.step = gemm_round_up((w.tiles + steps - 1) / steps, MR);
    w.v_place = winograd_stride(w.step * w.v_row);
    w.m_place = winograd_stride(w.step * w.m_row);
    return w;
}

/*
 * Cost in vector operations a pair of channels: products, the transform of the weights, and those
 * of the images, which all pairs share.
 */
static double cost(const struct winograd *w)
{
    double tiles = w->tiles;
    return w->a * w->a * (tiles / 2 / VL + 2 + tiles * (1.0 / w->c + 1.0 / w->k));
}

static int choose(struct winograd *best, const struct conv2d_dims *s)
{
    double least = 0.9 * 9 * s->n * s->oh * s->ow / 2 / VL;
    int found = 0;
    if (s->kh != 3 || s->kw != 3 || s->sh != 1 || s->sw != 1 || s->ph > 2 || s->pw > 2 ||
        s->c < 2 * VL || s->k < 2 * VL)
        return 0;
    for (int m = 2; m <= 4; m += 2) {
        struct winograd w = plan_of(m, s);
        if (cost(&w) < least) {
            least = cost(&w);
            *best = w;
            found = 1;
        }
    }
    return found;
}

int CPU(winograd_plan)(struct winograd *w, const struct conv2d_dims *s)
{
    return choose(w, s);
}

int CPU(winograd_plan_transposed)(struct winograd *w, const struct conv2d_dims *s)
{
    struct conv2d_dims t = conv2d_swapped(s);
    t.ph = 2 - s->ph;
    t.pw = 2 - s->pw;
    return s->ph <= 2 && s->pw <= 2 && choose(w, &t);
}

/* Pixels x of VL channels from src, plane apart, to dst, cp apart; count of the channels exist. */
static void turn_row(float *dst, int cp, const float *src, size_t plane, int count, int w)
{
    int x = 0;
    for (; count == VL && x + VL <= w; x += VL) {
        vf r[VL];
#pragma GCC unroll 16
        for (int u = 0; u < VL; u++)
            r[u] = vf_load(src + (size_t)u * plane + x);
        vf_transpose(r);
#pragma GCC unroll 16
        for (int u = 0; u < VL; u++)
            vf_store(dst + (x + u) * cp, r[u]);
    }
    for (; x < w; x++)
        for (int u = 0; u < VL; u++)
            dst[x * cp + u] = u < count ? src[(size_t)u * plane + x] : 0;
}

static void channel_last_row(void *arg, int job, int worker)
{
    const struct channel_last *c = arg;
    int cp = gemm_round_up(c->channels, VL), image = job / c->ih, y = job % c->ih - c->top;
    int w = gemm_min(c->w, c->iw - c->left), right = c->iw - c->left - w;
    float *dst = c->dst + (size_t)job * (size_t)c->iw * (size_t)cp;
    if (y < 0 || y >= c->h) {
        memset(dst, 0, (size_t)c->iw * (size_t)cp * sizeof(float));
        return;
    }
    memset(dst, 0, (size_t)c->left * (size_t)cp * sizeof(float));
    dst += c->left * cp;
    size_t plane = (size_t)c->h * (size_t)c->w;
    const float *src = c->src + (size_t)image * (size_t)c->channels * plane + (size_t)(y * c->w);
    for (int q = 0; q < c->channels; q += VL)
        turn_row(dst + q, cp, src + (size_t)q * plane, plane, gemm_min(VL, c->channels - q), w);
    memset(dst + w * cp, 0, (size_t)right * (size_t)cp * sizeof(float));
}

void CPU(winograd_channel_last)(struct pool *pool, const struct channel_last *c)
{
    struct channel_last copy = *c;
    pool_run(pool, c->n * c->ih, channel_last_row, &copy);
}

struct inputs {
    const struct winograd *w;
    float *v;
    const float *image;
    int t0, count;
};

static inline __attribute__((always_inline)) void transform_tile(const struct inputs *r,
                                                                 const int m, int i)
{
    const struct winograd *w = r->w;
    const int a = m + 2;
    int image, y, x, iw = w->tw * m + 2, ih = w->th * m + 2;
    winograd_tile(w, r->t0 + i, &image, &y, &x);
    const float *src =
        r->image + ((size_t)(image * ih + y) * (size_t)iw + (size_t)x) * (size_t)w->cp;
    float *dst = r->v + i * w->v_row;
    for (int q = 0; q < w->cp; q += VL) {
        vf d[WINOGRAD_MAX * WINOGRAD_MAX], o[WINOGRAD_MAX * WINOGRAD_MAX];
#pragma GCC unroll 6
        for (int u = 0; u < a; u++)
#pragma GCC unroll 6
            for (int v = 0; v < a; v++)
                d[u * a + v] = vf_load(src + (u * iw + v) * w->cp + q);
        /* cppcheck-suppress uninitvar ; the loops above fill it */
        WINOGRAD_BOTH(winograd_input, m, a, a, d, o);
#pragma GCC unroll 36
        for (int place = 0; place < a * a; place++)
            vf_store(dst + place * w->v_place + q, o[place]);
    }
}

static void transform_tiles(void *arg, int job, int worker)
{
    const struct inputs *r = arg;
    int last = gemm_min(r->count, (job + 1) * TILES_A_JOB);
    for (int i = job * TILES_A_JOB; i < last; i++) {
        if (r->w->m == 4)
            transform_tile(r, 4, i);
        else
            transform_tile(r, 2, i);
    }
}

void CPU(winograd_inputs)(struct pool *pool, const struct winograd *w, float *v, const float *image,
                          int t0, int count)
{
    struct inputs r = {w, v, image, t0, count};
    pool_run(pool, (count + TILES_A_JOB - 1) / TILES_A_JOB, transform_tiles, &r);
}
