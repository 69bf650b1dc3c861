/*
 * The last step of a product whose C is not summed in place: a finished block goes to where C's
 * axes say, with bias and activation on the way. Images want the transpose of what the tiles hold
 * (pixels are rows, channels are columns), so squares are transposed in registers and leave as runs
 * of pixels. Activations as in act.h.
 */
#include <string.h>

#include "kernels/cpu/gemm.h"

typedef int32_t vi __attribute__((vector_size(VL * 4)));

static inline vf activate(vf x, enum act act)
{
    vi negative = x < vf_all(0);
    if (act == ACT_RELU)
        return (vf)((vi)x & ~negative);
    if (act == ACT_LEAKY)
        return (vf)(((vi)x & ~negative) | ((vi)(x * vf_all(ACT_LEAKY_PERCENT * 0.01f)) & negative));
    return x;
}

/* The first `count` lanes of v, to c + off[0], c + off[1], ... */
static inline void put(const struct gemm *g, const ptrdiff_t *off, ptrdiff_t base, int count, vf v)
{
    float *c = g->c + base;
    if (count == VL && off[VL - 1] == off[0] + VL - 1) {
        c += off[0];
        if (g->add)
            v += vf_load(c);
        vf_store(c, activate(v, g->act));
        return;
    }
    float x[VL];
    vf_store(x, v);
    if (g->add)
        for (int u = 0; u < count; u++)
            x[u] += c[off[u]];
    vf_store(x, activate(vf_load(x), g->act));
    for (int u = 0; u < count; u++)
        c[off[u]] = x[u];
}

/*
 * Lanes `count` and up of the loads may lie beyond the block's columns, but within its rows'
 * stride.
 */
static void store_transposed(const struct gemm *g, const float *t, ptrdiff_t ld, int i0, int mm,
                             int j0, int nn, const ptrdiff_t *row, const ptrdiff_t *col)
{
    for (int j = 0; j < nn; j += VL) {
        int across = gemm_min(VL, nn - j);
        for (int i = 0; i < mm; i += VL) {
            int count = gemm_min(VL, mm - i);
            vf r[VL];
#pragma GCC unroll 16
            for (int u = 0; u < VL; u++)
                r[u] = vf_load(t + (i + (u < count ? u : 0)) * ld + j);
            vf_transpose(r);
            vf by_row = vf_all(0);
            if (g->bias && g->bias_by_row)
                memcpy(&by_row, g->bias + i0 + i, (size_t)count * sizeof(float));
            for (int u = 0; u < across; u++) {
                vf v = r[u];
                if (g->bias)
                    v += g->bias_by_row ? by_row : vf_all(g->bias[j0 + j + u]);
                put(g, row + i, col[j + u], count, v);
            }
        }
    }
}

static void store_straight(const struct gemm *g, const float *t, ptrdiff_t ld, int i0, int mm,
                           int j0, int nn, const ptrdiff_t *row, const ptrdiff_t *col)
{
    for (int i = 0; i < mm; i++) {
        for (int j = 0; j < nn; j += VL) {
            int count = gemm_min(VL, nn - j);
            vf v = vf_load(t + i * ld + j), by_col = vf_all(0);
            if (g->bias && g->bias_by_row)
                v += vf_all(g->bias[i0 + i]);
            if (g->bias && !g->bias_by_row) {
                memcpy(&by_col, g->bias + j0 + j, (size_t)count * sizeof(float));
                v += by_col;
            }
            put(g, col + j, row[i], count, v);
        }
    }
}

void CPU(gemm_store)(const struct gemm *g, const float *t, ptrdiff_t ld, int i0, int mm, int j0,
                     int nn)
{
    enum { STEP = 128 };
    ptrdiff_t row[STEP], col[STEP];
    int transposed = g->c_row.s2 < g->c_col.s2;
    for (int j = 0; j < nn; j += STEP) {
        int nj = gemm_min(STEP, nn - j);
        CPU(axis_fill)(&g->c_col, j0 + j, nj, col);
        for (int i = 0; i < mm; i += STEP) {
            int ni = gemm_min(STEP, mm - i);
            CPU(axis_fill)(&g->c_row, i0 + i, ni, row);
            (transposed ? store_transposed : store_straight)(g, t + i * ld + j, ld, i0 + i, ni,
                                                             j0 + j, nj, row, col);
        }
    }
}
