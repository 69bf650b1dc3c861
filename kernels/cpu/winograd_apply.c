/*
 * Winograd's forward pass, which is also backward data with the weights mirrored. Where all tiles
 * fit into one step, their number is small beside the weights', which are then not transformed as a
 * whole: each job transforms those of a few channels out, multiplies and transforms back, and what
 * it makes of them never leaves the caches. The bits are the same either way.
 */
#include "kernels/cpu/winograd.h"

#include <string.h>

#include "kernels/cpu/act.h"
#include "kernels/cpu/winograd_math.h"

enum {
    CHANNELS = KC / 9, /* in, whose weights are transformed together: a block of 9 rows each */
    CHANNEL_BLOCKS = (KC + CHANNELS - 1) / CHANNELS,
    TILES_A_JOB = 4,
    FUSED_PANELS = 2, /* channels out of a fused job, in panels, where there are jobs enough */
    FUSED_JOBS = 16,
};

/* Products [place][tile][channel], channels from k0 on. */
struct products {
    float *data;
    ptrdiff_t row, place;
    int k0, channels;
};

struct apply {
    const struct winograd *w;
    const struct matrix *weights;
    struct pool *pool;
    float *image, *u, *v, *out; /* channel-last; transformed weights, inputs; the output */
    struct products all;
    const float *bias;
    enum act act;
    int add, t0, count;
    int width; /* channels out of a fused job */
};

/* g (9, width): VL channels out of one channel in; dst: their places. */
static inline __attribute__((always_inline)) void transform_weights_of(const int m, const float *g,
                                                                       int width, float *dst,
                                                                       size_t place_floats)
{
    const int a = m + 2;
    vf x[9], o[WINOGRAD_MAX * WINOGRAD_MAX];
#pragma GCC unroll 9
    for (int i = 0; i < 9; i++)
        x[i] = vf_load(g + i * width);
    WINOGRAD_BOTH(winograd_weights, m, 3, a, x, o);
#pragma GCC unroll 36
    for (int place = 0; place < a * a; place++)
        vf_store(dst + (size_t)place * place_floats, o[place]);
}

/* nk channels out from k0 on, at most a panel; nc channels in from c0 on, at most CHANNELS. */
static void transform_panel(const struct apply *r, float *g, int c0, int nc, int k0, int nk,
                            float *dst, size_t place_floats)
{
    int width = gemm_round_up(nk, VL);
    CPU(gemm_pack_b)(g, r->weights, c0 * 9, nc * 9, k0, nk);
    for (int c = 0; c < nc; c++)
        for (int k = 0; k < width; k += VL) {
            const float *from = g + c * 9 * width + k;
            float *to = dst + c * width + k;
            if (r->w->m == 4)
                transform_weights_of(4, from, width, to, place_floats);
            else
                transform_weights_of(2, from, width, to, place_floats);
        }
}

/*
 * One panel of channels out, CHANNELS channels in: into the panels of a packed B, one for each
 * place.
 */
static void transform_weights(void *arg, int job, int worker)
{
    const struct apply *r = arg;
    const struct winograd *w = r->w;
    int blocks = (w->c + KC - 1) / KC * CHANNEL_BLOCKS;
    int c0 = job % blocks / CHANNEL_BLOCKS * KC + job % CHANNEL_BLOCKS * CHANNELS;
    int nc = gemm_min(CHANNELS, gemm_min(w->c, c0 / KC * KC + KC) - c0), k0 = job / blocks * NR;
    if (nc > 0)
        transform_panel(r, pool_scratch(r->pool, worker), c0, nc, k0, gemm_min(NR, w->k - k0),
                        r->u + gemm_packed_at(w->kp, w->c, c0, k0),
                        gemm_packed_floats(w->kp, w->c));
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

static inline __attribute__((always_inline)) void output_tile(const struct apply *r,
                                                              const struct products *from,
                                                              const int m, int i)
{
    const struct winograd *w = r->w;
    const int a = m + 2;
    int image, y, x;
    winograd_tile(w, r->t0 + i, &image, &y, &x);
    int rows = gemm_min(m, w->oh - y), cols = gemm_min(m, w->ow - x);
    size_t plane = (size_t)w->oh * (size_t)w->ow;
    for (int q = 0; q < from->channels; q += VL) {
        int k = from->k0 + q, lanes = gemm_min(VL, w->k - k);
        vf p[WINOGRAD_MAX * WINOGRAD_MAX], o[16];
#pragma GCC unroll 36
        for (int place = 0; place < a * a; place++)
            p[place] = vf_load(from->data + place * from->place + i * from->row + q);
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

static void output_some(const struct apply *r, const struct products *from, int first, int last)
{
    for (int i = first; i < last; i++) {
        if (r->w->m == 4)
            output_tile(r, from, 4, i);
        else
            output_tile(r, from, 2, i);
    }
}

static void output_tiles(void *arg, int job, int worker)
{
    const struct apply *r = arg;
    output_some(r, &r->all, job * TILES_A_JOB, gemm_min(r->count, (job + 1) * TILES_A_JOB));
}

/* The products of nc channels in from c0 on, a packed block of KC or fewer: set or added. */
static void multiply(const struct apply *r, const struct products *to, const float *u,
                     ptrdiff_t u_place, int c0, int nc)
{
    const struct winograd *w = r->w;
    ptrdiff_t idx[KC];
    for (int c = 0; c < nc; c++)
        idx[c] = c;
    for (int place = 0; place < w->a * w->a; place++) {
        const float *v = r->v + place * w->v_place + c0, *b = u + place * u_place;
        float *prod = to->data + place * to->place;
        for (int k = 0; k < to->channels; k += NR) {
            int nv = gemm_min(NR, to->channels - k) / VL;
            for (int i = 0; i < w->tiles; i += MR) {
                const float *base[MR];
                int rows = gemm_min(MR, w->tiles - i);
                for (int y = 0; y < rows; y++)
                    base[y] = v + (i + y) * w->v_row;
                CPU(gemm_tile)
                [rows - 1][nv - 1](nc, base, idx, b, prod + i * to->row + k, to->row, 1, c0 > 0);
            }
            b += nc * nv * VL;
        }
    }
}

/* Strides and size of a fused job's scratch, in floats. */
struct fused {
    ptrdiff_t u, u_place, prod, prod_place, end;
};

static struct fused fused_plan(const struct winograd *w, int width)
{
    struct fused f = {.u = CHANNELS * 9 * NR};
    f.u_place = winograd_stride(gemm_min(KC, w->c) * width);
    f.prod = f.u + w->a * w->a * f.u_place;
    f.prod_place = winograd_stride(w->tiles * width);
    f.end = f.prod + w->a * w->a * f.prod_place;
    return f;
}

/* Channels out of a fused job; 0 where all weights are better transformed first. */
static int fused_width(const struct winograd *w)
{
    if (w->tiles > w->step)
        return 0;
    for (int panels = FUSED_PANELS; panels > 0; panels--) {
        int width = panels * NR;
        if (fused_plan(w, width).end * (ptrdiff_t)sizeof(float) <= POOL_SCRATCH_BYTES &&
            (panels == 1 || w->kp >= FUSED_JOBS * width))
            return width;
    }
    return 0;
}

static void fused_job(void *arg, int job, int worker)
{
    const struct apply *r = arg;
    const struct winograd *w = r->w;
    struct fused f = fused_plan(w, r->width);
    float *scratch = pool_scratch(r->pool, worker), *u = scratch + f.u;
    int k0 = job * r->width, nk = gemm_min(r->width, w->k - k0), all = gemm_round_up(nk, VL);
    struct products to = {scratch + f.prod, all, f.prod_place, k0, all};
    for (int c0 = 0; c0 < w->c; c0 += KC) {
        int block = gemm_min(KC, w->c - c0);
        for (int k = 0; k < nk; k += NR)
            for (int c = 0; c < block; c += CHANNELS) {
                int width = gemm_min(NR, all - k);
                transform_panel(r, scratch, c0 + c, gemm_min(CHANNELS, block - c), k0 + k,
                                gemm_min(NR, nk - k), u + k * block + c * width, (size_t)f.u_place);
            }
        multiply(r, &to, u, f.u_place, c0, block);
    }
    output_some(r, &to, 0, w->tiles);
}

/* All places' products: prod (tiles, k) = v (tiles, c) * u (c, k). */
static struct gemm products_of(const struct winograd *w)
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

static void apply_steps(struct apply *r)
{
    const struct winograd *w = r->w;
    struct gemm g = products_of(w);
    int blocks = (w->c + KC - 1) / KC * CHANNEL_BLOCKS;
    pool_run(r->pool, blocks * ((w->k + NR - 1) / NR), transform_weights, r);
    g.a.data = r->v;
    g.packed_b = r->u;
    g.c = r->all.data;
    for (r->t0 = 0; r->t0 < w->tiles; r->t0 += w->step) {
        r->count = g.m = gemm_min(w->step, w->tiles - r->t0);
        CPU(winograd_inputs)(r->pool, w, r->v, r->image, r->t0, r->count);
        CPU(gemm_run)(r->pool, &g, NULL);
        pool_run(r->pool, (r->count + TILES_A_JOB - 1) / TILES_A_JOB, output_tiles, r);
    }
}

void CPU(winograd_apply)(struct pool *pool, const struct winograd *w, float *out, const float *inp,
                         const struct matrix *weights, const float *bias, enum act act, int add,
                         void *work)
{
    ptrdiff_t places = w->a * w->a;
    float *image = work, *v = image + (winograd_image_floats(w) + 15) / 16 * 16;
    struct apply r = {w, weights, pool, image, v + places * w->v_place, v, out, .bias = bias};
    r.act = act;
    r.add = add;
    r.width = fused_width(w);
    struct channel_last turn = {
        image, inp, w->n, w->c, w->h, w->w, w->top, w->left, w->th * w->m + 2, w->tw * w->m + 2};
    CPU(winograd_channel_last)(pool, &turn);
    if (r.width) {
        CPU(winograd_inputs)(pool, w, v, image, 0, w->tiles);
        pool_run(pool, (w->k + r.width - 1) / r.width, fused_job, &r);
    } else {
        float *prod = r.u + (size_t)places * gemm_packed_floats(w->kp, w->c);
        r.all = (struct products){prod, w->m_row, w->m_place, 0, w->kp};
        apply_steps(&r);
    }
}

size_t CPU(winograd_bytes)(const struct winograd *w)
{
    size_t places = (size_t)(w->a * w->a);
    size_t floats = (winograd_image_floats(w) + 15) / 16 * 16 + places * (size_t)w->v_place;
    if (!fused_width(w))
        floats += places * (gemm_packed_floats(w->kp, w->c) + (size_t)w->m_place);
    return floats * sizeof(float);
}
