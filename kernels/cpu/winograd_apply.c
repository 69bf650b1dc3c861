/* Winograd's forward pass, which is also backward data with the weights mirrored. */
#include "kernels/cpu/winograd.h"

#include <string.h>

#include "kernels/cpu/act.h"
#include "kernels/cpu/winograd_math.h"

enum { CHANNELS = KC / 9, TILES_A_JOB = 4 };

struct apply {
    const struct winograd *w;
    const struct matrix *weights;
    struct pool *pool;
    float *u, *prod, *out; /* transformed weights; products [place][tile][channel]; the output */
    const float *bias;
    enum act act;
    int add, t0, count;
};

static inline __attribute__((always_inline)) void transform_weights_of(const struct apply *r,
                                                                       const int m, const float *g,
                                                                       int width, int c, int k)
{
    const struct winograd *w = r->w;
    const int a = m + 2;
    size_t place_floats = gemm_packed_floats(w->kp, w->c);
    vf x[9], o[WINOGRAD_MAX * WINOGRAD_MAX];
#pragma GCC unroll 9
    for (int i = 0; i < 9; i++)
        x[i] = vf_load(g + i * width);
    WINOGRAD_BOTH(winograd_weights, m, 3, a, x, o);
    float *dst = r->u + gemm_packed_at(w->kp, w->c, c, k);
#pragma GCC unroll 36
    for (int place = 0; place < a * a; place++)
        vf_store(dst + (size_t)place * place_floats, o[place]);
}

/*
 * One panel of channels out, CHANNELS channels in: into the panels of a packed B, one for each
 * place.
 */
static void transform_weights(void *arg, int job, int worker)
{
    const struct apply *r = arg;
    const struct winograd *w = r->w;
    int blocks = (w->c + CHANNELS - 1) / CHANNELS;
    int c0 = job % blocks * CHANNELS, nc = gemm_min(CHANNELS, w->c - c0), k0 = job / blocks * NR;
    int nk = gemm_min(NR, w->k - k0), width = gemm_round_up(nk, VL);
    float *g = pool_scratch(r->pool, worker);
    CPU(gemm_pack_b)(g, r->weights, c0 * 9, nc * 9, k0, nk);
    for (int c = 0; c < nc; c++)
        for (int k = 0; k < width; k += VL) {
            if (w->m == 4)
                transform_weights_of(r, 4, g + c * 9 * width + k, width, c0 + c, k0 + k);
            else
                transform_weights_of(r, 2, g + c * 9 * width + k, width, c0 + c, k0 + k);
        }
}

typedef float four __attribute__((vector_size(16), aligned(4), may_alias));

/* All of a 4 x 4 tile, VL channels: transposed, VL / 4 rows of it at a time. */
static void store_whole(const struct apply *r, float *out, const vf *o)
{
    const struct winograd *w = r->w;
    size_t plane = (size_t)w->oh * (size_t)w->ow;
    for (int y = 0; y < 4; y += VL / 4) {
        vf t[VL];
#pragma GCC unroll 16
        for (int u = 0; u < VL; u++)
            t[u] = o[y * 4 + u];
        vf_transpose(t);
#pragma GCC unroll 16
        for (int u = 0; u < VL; u++)
#pragma GCC unroll 4
            for (int v = 0; v < VL / 4; v++) {
                float *to = out + (size_t)u * plane + (size_t)((y + v) * w->ow);
                four x;
                memcpy(&x, (const char *)&t[u] + v * 16, sizeof(x));
                if (r->add)
                    x += *(four *)to;
                *(four *)to = x;
            }
    }
}

static void store_part(const struct apply *r, float *out, const vf *o, int m, int rows, int cols,
                       int lanes)
{
    const struct winograd *w = r->w;
    size_t plane = (size_t)w->oh * (size_t)w->ow;
    float t[16 * VL];
    memcpy(t, o, (size_t)(m * m) * sizeof(*o));
    for (int u = 0; u < lanes; u++)
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < cols; x++) {
                float *to = out + (size_t)u * plane + (size_t)(y * w->ow + x);
                *to = t[(y * m + x) * VL + u] + (r->add ? *to : 0);
            }
}

static inline __attribute__((always_inline)) void output_tile(const struct apply *r, const int m,
                                                              int i)
{
    const struct winograd *w = r->w;
    const int a = m + 2;
    int image, y, x;
    winograd_tile(w, r->t0 + i, &image, &y, &x);
    int rows = gemm_min(m, w->oh - y), cols = gemm_min(m, w->ow - x);
    size_t plane = (size_t)w->oh * (size_t)w->ow;
    for (int k = 0; k < w->kp; k += VL) {
        int lanes = gemm_min(VL, w->k - k);
        vf p[WINOGRAD_MAX * WINOGRAD_MAX], o[16];
#pragma GCC unroll 36
        for (int place = 0; place < a * a; place++)
            p[place] = vf_load(r->prod + place * w->m_place + i * w->m_row + k);
        /* cppcheck-suppress uninitvar ; the loop above fills it */
        WINOGRAD_BOTH(winograd_output, m, a, m, p, o);
        if (r->bias) {
            vf bias = vf_all(0);
            memcpy(&bias, r->bias + k, (size_t)lanes * sizeof(float));
#pragma GCC unroll 16
            for (int u = 0; u < m * m; u++)
                o[u] += bias;
        }
        if (r->act != ACT_NONE)
            CPU(act_row)((float *)o, (const float *)o, (size_t)(m * m * VL), r->act);
        float *out =
            r->out + ((size_t)image * (size_t)w->k + (size_t)k) * plane + (size_t)(y * w->ow + x);
        if (m == 4 && rows == m && cols == m && lanes == VL)
            store_whole(r, out, o);
        else
            store_part(r, out, o, m, rows, cols, lanes);
    }
}

static void output_tiles(void *arg, int job, int worker)
{
    const struct apply *r = arg;
    int last = gemm_min(r->count, (job + 1) * TILES_A_JOB);
    for (int i = job * TILES_A_JOB; i < last; i++) {
        if (r->w->m == 4)
            output_tile(r, 4, i);
        else
            output_tile(r, 2, i);
    }
}

/* The places' products: prod (tiles, k) = v (tiles, c) * u (c, k). */
static struct gemm products(const struct winograd *w)
{
    return (struct gemm){
        .n = w->kp,
        .k = w->c,
        .alpha = 1,
        .a = {NULL, axis_line(w->v_row), axis_line(1)},
        .c_row = axis_line(w->m_row),
        .c_col = axis_line(1),
        .batch = w->a * w->a,
        .a_batch = w->v_place,
        .c_batch = w->m_place,
    };
}

void CPU(winograd_apply)(struct pool *pool, const struct winograd *w, float *out, const float *inp,
                         const struct matrix *weights, const float *bias, enum act act, int add,
                         void *work)
{
    size_t places = (size_t)(w->a * w->a);
    float *image = work, *u = image + (winograd_image_floats(w) + 15) / 16 * 16;
    float *v = u + places * gemm_packed_floats(w->kp, w->c),
          *prod = v + places * (size_t)w->v_place;
    struct apply r = {w, weights, pool, u, prod, out, bias, act, add, 0, 0};
    struct channel_last turn = {
        image, inp, w->n, w->c, w->h, w->w, w->top, w->left, w->th * w->m + 2, w->tw * w->m + 2};
    CPU(winograd_channel_last)(pool, &turn);
    pool_run(pool, (w->c + CHANNELS - 1) / CHANNELS * ((w->k + NR - 1) / NR), transform_weights,
             &r);
    struct gemm g = products(w);
    g.a.data = v;
    g.packed_b = u;
    g.c = prod;
    for (r.t0 = 0; r.t0 < w->tiles; r.t0 += w->step) {
        r.count = g.m = gemm_min(w->step, w->tiles - r.t0);
        CPU(winograd_inputs)(pool, w, v, image, r.t0, r.count);
        CPU(gemm_run)(pool, &g, NULL);
        pool_run(pool, (r.count + TILES_A_JOB - 1) / TILES_A_JOB, output_tiles, &r);
    }
}

size_t CPU(winograd_bytes)(const struct winograd *w)
{
    size_t places = (size_t)(w->a * w->a);
    return sizeof(float) *
           ((winograd_image_floats(w) + 15) / 16 * 16 +
            places * (gemm_packed_floats(w->kp, w->c) + (size_t)w->v_place + (size_t)w->m_place));
}
