/*
 * Winograd's weight gradients: the transpose of the forward pass. For each place of a tile, du (c,
 * k) = v^T (c, tiles) * dp (tiles, k), where v are the transformed inputs and dp the transformed
 * gradients of the outputs; then one transform back. Tiles are taken CHUNK at a time and added up
 * in order.
 */
#include "kernels/cpu/winograd.h"

#include "kernels/cpu/winograd_math.h"

enum { CHUNK = 128, TILES_A_JOB = 4 };

struct weights {
    const struct winograd *w; /* with step and strides for chunks */
    const float *dimage;      /* the output's gradient, channel-last */
    float *dp, *du, *dweight;
    ptrdiff_t du_place;
    float scale;
    int t0, count;
};

static struct winograd chunked(const struct winograd *w)
{
    struct winograd c = *w;
    c.step = gemm_min(w->tiles, CHUNK);
    c.v_place = winograd_stride(c.step * c.v_row);
    return c;
}

static inline __attribute__((always_inline)) void gradient_tile(const struct weights *r,
                                                                const int m, int i)
{
    const struct winograd *w = r->w;
    const int a = m + 2;
    int image, y, x, iw = w->tw * m, ih = w->th * m;
    winograd_tile(w, r->t0 + i, &image, &y, &x);
    const float *src =
        r->dimage + ((size_t)(image * ih + y) * (size_t)iw + (size_t)x) * (size_t)w->kp;
    size_t place_floats = gemm_packed_floats(w->kp, r->count);
    for (int k = 0; k < w->kp; k += VL) {
        vf d[16], o[WINOGRAD_MAX * WINOGRAD_MAX];
#pragma GCC unroll 4
        for (int u = 0; u < m; u++)
#pragma GCC unroll 4
            for (int v = 0; v < m; v++)
                d[u * m + v] = vf_load(src + (u * iw + v) * w->kp + k);
        /* cppcheck-suppress uninitvar ; the loops above fill it */
        WINOGRAD_BOTH(winograd_output_gradient, m, m, a, d, o);
        float *dst = r->dp + gemm_packed_at(w->kp, r->count, i, k);
#pragma GCC unroll 36
        for (int place = 0; place < a * a; place++)
            vf_store(dst + (size_t)place * place_floats, o[place]);
    }
}

static void gradient_tiles(void *arg, int job, int worker)
{
    const struct weights *r = arg;
    int last = gemm_min(r->count, (job + 1) * TILES_A_JOB);
    for (int i = job * TILES_A_JOB; i < last; i++) {
        if (r->w->m == 4)
            gradient_tile(r, 4, i);
        else
            gradient_tile(r, 2, i);
    }
}

/* The 3 x 3 gradients of channel c, VL channels out from k on: o (9). */
static inline __attribute__((always_inline)) void back(const struct weights *r, const int m, int c,
                                                       int k, vf *o)
{
    const int a = m + 2;
    vf u[WINOGRAD_MAX * WINOGRAD_MAX];
#pragma GCC unroll 36
    for (int place = 0; place < a * a; place++)
        u[place] = vf_load(r->du + place * r->du_place + c * r->w->m_row + k);
    /* cppcheck-suppress uninitvar ; the loops above fill it */
    WINOGRAD_BOTH(winograd_weight_gradient, m, a, 3, u, o);
}

/*
 * VL channels in by VL channels out: 9 squares, transposed, so that runs of 9 * VL weights are
 * added to.
 */
static void add_weights(void *arg, int job, int worker)
{
    const struct weights *r = arg;
    const struct winograd *w = r->w;
    int c0 = job * VL, nc = gemm_min(VL, w->c - c0);
    for (int k = 0; k < w->kp; k += VL) {
        int nk = gemm_min(VL, w->k - k);
        vf t[9 * VL];
        for (int c = 0; c < nc; c++) {
            if (w->m == 4)
                back(r, 4, c0 + c, k, t + c * 9);
            else
                back(r, 2, c0 + c, k, t + c * 9);
        }
        for (int c = nc * 9; c < 9 * VL; c++)
            t[c] = vf_all(0);
        for (int square = 0; square < 9; square++) {
            vf_transpose(t + square * VL);
            int from = square * VL, count = gemm_min(VL, nc * 9 - from);
            for (int u = 0; u < nk; u++) {
                float *to = r->dweight + ((size_t)(k + u) * (size_t)w->c + (size_t)c0) * 9 + from;
                vf x = t[from + u];
                if (count == VL) {
                    vf_store(to, vf_load(to) + vf_all(r->scale) * x);
                    continue;
                }
                for (int v = 0; v < count; v++)
                    to[v] += r->scale * x[v];
            }
        }
    }
}

static struct gemm products(const struct winograd *w, ptrdiff_t du_place)
{
    return (struct gemm){
        .m = w->c,
        .n = w->kp,
        .alpha = 1,
        .a = {NULL, axis_line(1), axis_line(w->v_row)},
        .c_row = axis_line(w->m_row),
        .c_col = axis_line(1),
        .pack_a = 1,
        .batch = w->a * w->a,
        .a_batch = w->v_place,
        .c_batch = du_place,
    };
}

static size_t dimage_floats(const struct winograd *w)
{
    return (size_t)w->n * (size_t)(w->th * w->m) * (size_t)(w->tw * w->m) * (size_t)w->kp;
}

void CPU(winograd_weights)(struct pool *pool, const struct winograd *plan, float *dweight,
                           const float *dout, const float *inp, float scale, void *work)
{
    struct winograd w = chunked(plan);
    size_t places = (size_t)(w.a * w.a);
    struct weights r = {.w = &w, .dweight = dweight, .scale = scale};
    r.du_place = winograd_stride(w.c * w.m_row);
    float *image = work, *dimage = image + (winograd_image_floats(&w) + 15) / 16 * 16;
    float *v = dimage + (dimage_floats(&w) + 15) / 16 * 16;
    r.dimage = dimage;
    r.du = v + places * (size_t)w.v_place;
    r.dp = r.du + places * (size_t)r.du_place;
    float *rest = r.dp + places * gemm_packed_floats(w.kp, w.step);
    struct channel_last turn = {image,          inp,           w.n, w.c, w.h, w.w, w.top, w.left,
                                w.th * w.m + 2, w.tw * w.m + 2};
    CPU(winograd_channel_last)(pool, &turn);
    struct channel_last turn_d = {dimage, dout, w.n, w.k, w.oh, w.ow, 0, 0, w.th * w.m, w.tw * w.m};
    CPU(winograd_channel_last)(pool, &turn_d);
    struct gemm g = products(&w, r.du_place);
    g.a.data = v;
    g.packed_b = r.dp;
    g.c = r.du;
    for (r.t0 = 0; r.t0 < w.tiles; r.t0 += w.step) {
        r.count = g.k = gemm_min(w.step, w.tiles - r.t0);
        g.add = r.t0 > 0;
        CPU(winograd_inputs)(pool, &w, v, image, r.t0, r.count);
        pool_run(pool, (r.count + TILES_A_JOB - 1) / TILES_A_JOB, gradient_tiles, &r);
        CPU(gemm_run)(pool, &g, rest);
    }
    pool_run(pool, (w.c + VL - 1) / VL, add_weights, &r);
}

size_t CPU(winograd_weights_bytes)(const struct winograd *plan)
{
    struct winograd w = chunked(plan);
    size_t places = (size_t)(w.a * w.a);
    ptrdiff_t du_place = winograd_stride(w.c * w.m_row);
    struct gemm g = products(&w, du_place);
    g.k = w.step;
    g.packed_b = (const float *)&w; /* only that there is one */
    return sizeof(float) *
               ((winograd_image_floats(&w) + 15) / 16 * 16 + (dimage_floats(&w) + 15) / 16 * 16 +
                places *
                    ((size_t)w.v_place + (size_t)du_place + gemm_packed_floats(w.kp, w.step))) +
           CPU(gemm_bytes)(&g);
}
