/*
 * Packing: copies blocks of A and B into the panels that the micro-kernel walks, whatever their
 * axes. What lies contiguous along the panel is copied by vectors, what lies contiguous across it
 * is transposed in registers, the rest is gathered.
 */
#include "kernels/cpu/gemm.h"

void CPU(axis_fill)(const struct axis *x, int first, int count, ptrdiff_t *off)
{
    int i2 = first % x->d2, i1 = first / x->d2 % x->d1, i0 = first / x->d2 / x->d1;
    while (count > 0) {
        int run = gemm_min(x->d2 - i2, count);
        ptrdiff_t from = i0 * x->s0 + i1 * x->s1 + i2 * x->s2;
        for (int u = 0; u < run; u++)
            off[u] = from + u * x->s2;
        off += run;
        count -= run;
        i2 = 0;
        if (++i1 == x->d1) {
            i1 = 0;
            i0++;
        }
    }
}

static int is_run(const ptrdiff_t *off, int count)
{
    for (int i = 1; i < count; i++)
        if (off[i] != off[0] + i)
            return 0;
    return 1;
}

/*
 * Whole panels of columns that lie side by side, a few rows at a time across all of them: a row of
 * a wide matrix is then read as one run. Panel by panel would take one line of a page and come back
 * for the next much later.
 */
static void pack_side_by_side(float *dst, const float *src, const ptrdiff_t *row, int kc,
                              int panels)
{
    enum { ROWS = 8 };
    for (int p = 0; p < kc; p += ROWS) {
        int rows = gemm_min(ROWS, kc - p);
        for (int q = 0; q < panels; q++) {
            float *to = dst + (q * kc + p) * NR;
            for (int u = 0; u < rows; u++)
#pragma GCC unroll 4
                for (int v = 0; v < NV; v++)
                    vf_store(to + u * NR + v * VL, vf_load(src + row[p + u] + q * NR + v * VL));
        }
    }
}

/* One panel of `width` columns, a multiple of VL, all of them present. */
static void pack_full_panel(float *dst, int width, const float *src, const ptrdiff_t *row, int kc,
                            const ptrdiff_t *col)
{
    int runs = 0;
    while (runs < width && is_run(col + runs, VL))
        runs += VL;
    if (runs == width) {
        for (int p = 0; p < kc; p++)
            for (int j = 0; j < width; j += VL)
                vf_store(dst + p * width + j, vf_load(src + row[p] + col[j]));
        return;
    }
    int p = 0;
    while (p < kc) {
        if (p + VL > kc || row[p + VL - 1] != row[p] + VL - 1) {
            for (int j = 0; j < width; j++)
                dst[p * width + j] = src[row[p] + col[j]];
            p++;
            continue;
        }
        for (int j = 0; j < width; j += VL) {
            vf r[VL];
#pragma GCC unroll 16
            for (int u = 0; u < VL; u++)
                r[u] = vf_load(src + row[p] + col[j + u]);
            vf_transpose(r);
#pragma GCC unroll 16
            for (int u = 0; u < VL; u++)
                vf_store(dst + (p + u) * width + j, r[u]);
        }
        p += VL;
    }
}

void CPU(gemm_pack_b)(float *dst, const struct matrix *b, int p0, int kc, int j0, int nn)
{
    ptrdiff_t row[KC], col[NR];
    int j = 0;
    CPU(axis_fill)(&b->row, p0, kc, row);
    if (b->col.d2 == INT_MAX && b->col.s2 == 1) {
        pack_side_by_side(dst, b->data + j0, row, kc, nn / NR);
        j = nn / NR * NR;
        dst += (ptrdiff_t)j * kc;
    }
    for (; j < nn; j += NR) {
        int have = gemm_min(NR, nn - j), width = gemm_round_up(have, VL);
        CPU(axis_fill)(&b->col, j0 + j, have, col);
        if (have == width) {
            pack_full_panel(dst, width, b->data, row, kc, col);
        } else {
            for (int p = 0; p < kc; p++) {
                for (int u = 0; u < have; u++)
                    dst[p * width + u] = b->data[row[p] + col[u]];
                for (int u = have; u < width; u++)
                    dst[p * width + u] = 0;
            }
        }
        dst += kc * width;
    }
}

void CPU(gemm_pack_a)(float *dst, const struct matrix *a, int i0, int mm, int p0, int kc)
{
    ptrdiff_t row[MR], col[KC];
    CPU(axis_fill)(&a->col, p0, kc, col);
    for (int i = 0; i < mm; i += MR) {
        int have = gemm_min(MR, mm - i);
        CPU(axis_fill)(&a->row, i0 + i, have, row);
        if (have == MR && is_run(row, MR)) {
            const float *src = a->data + row[0];
            for (int p = 0; p < kc; p++)
                for (int u = 0; u < MR; u++)
                    dst[p * MR + u] = src[col[p] + u];
        } else if (have == MR) {
            for (int p = 0; p < kc; p++)
                for (int u = 0; u < MR; u++)
                    dst[p * MR + u] = a->data[row[u] + col[p]];
        } else {
            for (int p = 0; p < kc; p++)
                for (int u = 0; u < MR; u++)
                    dst[p * MR + u] = u < have ? a->data[row[u] + col[p]] : 0;
        }
        dst += kc * MR;
    }
}
