/*
 * One matrix product for everything: gemm, linear layers and convolutions, forward and backward.
 *
 * A struct gemm says where the element (row, column) of each matrix lies: at data[at(row) +
 * at(column)], where an axis maps an index to an offset. So a transposed matrix, a stack of images
 * or the windows of a convolution are all read in place; nobody builds an im2col matrix.
 *
 *     struct gemm g = {.m = m, .n = n, .k = k, .alpha = 1,
 *                      .a = {a, axis_line(lda), axis_line(1)},
 *                      .b = {b, axis_line(ldb), axis_line(1)},
 *                      .c = c, .c_row = axis_line(ldc), .c_col = axis_line(1)};
 *     CPU(gemm_run)(cpu_pool(d), &g, work);
 *
 * The sum over k runs in blocks of KC, in order, in fused multiply-adds: an element's bits depend
 * on k and on `chunk` alone, not on its place, the block sizes or the number of threads.
 */
#ifndef KERNELS_CPU_GEMM_H
#define KERNELS_CPU_GEMM_H

#include <limits.h>
#include <stddef.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector.h"

/*
 * A tile of C is MR rows of NV vectors and stays in registers; a panel of B is KC x NR and stays in
 * L1.
 */
enum {
    MR = 6,
#if defined(ISA_avx512)
    NV = 4,
    KC = 128,
#elif defined(ISA_neon)
    NV = 4,
    KC = 256,
#else
    NV = 2,
    KC = 256,
#endif
    NR = NV * VL,
    GEMM_LOCAL_ROWS = 512 /* see local_b */
};

/* Index i = (i0 * d1 + i1) * d2 + i2 lies at i0 * s0 + i1 * s1 + i2 * s2. */
struct axis {
    int d1, d2;
    ptrdiff_t s0, s1, s2;
};

static inline struct axis axis_line(ptrdiff_t stride)
{
    return (struct axis){1, INT_MAX, 0, 0, stride};
}

/* The offsets of `count` indices from `first` on. */
void CPU(axis_fill)(const struct axis *x, int first, int count, ptrdiff_t *off);

struct matrix {
    const float *data;
    struct axis row, col;
};

struct gemm {
    int m, n, k;
    float alpha;
    int add;            /* 0 sets C, 1 adds to it */
    struct matrix a, b; /* (m, k), (k, n) */
    float *c;           /* (m, n) */
    struct axis c_row, c_col;
    const float *bias; /* NULL, or added to each row (bias_by_row: m of them) or column (n) */
    int bias_by_row;
    enum act act; /* not ACT_SIGMOID: it takes its own pass */
    int pack_a;   /* copy A into panels first: where its strides would thrash the caches */
    /* Each job packs its own columns of B: for a B that is large beside m. At most GEMM_LOCAL_ROWS
     * rows where C does not simply lie row by row. */
    int local_b;
    int rows;  /* 0, or the rows walked together, 6 n: few where C streams through memory once */
    int batch; /* 0, or so many products of this shape, all cut into jobs together: */
    ptrdiff_t a_batch, c_batch; /* the distance of their A and C */
    const float *packed_b;      /* NULL, or B in panels already, gemm_packed_floats apart */
    int chunk; /* 0, or sum this much of k apart and add the sums in order; a multiple of KC */
};

/* work: CPU(gemm_bytes) bytes, 64-byte aligned. */
void CPU(gemm_run)(struct pool *pool, const struct gemm *g, void *work);
size_t CPU(gemm_bytes)(const struct gemm *g);

/*
 * The micro-kernel: c (rows, nv vectors) = or += alpha * sum over p of base[i][idx[p]] * b[p][j], b
 * being a panel of kc x nv vectors. Indexed [rows - 1][nv - 1].
 */
typedef void tile_fn(int kc, const float *const *base, const ptrdiff_t *idx, const float *b,
                     float *c, ptrdiff_t ldc, float alpha, int add);
extern tile_fn *const CPU(gemm_tile)[MR][NV];

/*
 * Columns j0 .. j0 + nn - 1, rows p0 .. p0 + kc - 1 of B into panels of kc x NR; the last panel is
 * as many vectors wide as it needs, its spare columns are 0.
 */
void CPU(gemm_pack_b)(float *dst, const struct matrix *b, int p0, int kc, int j0, int nn);

/*
 * Rows i0 .. i0 + mm - 1, columns p0 .. p0 + kc - 1 of A into panels of kc x MR; spare rows are 0.
 */
void CPU(gemm_pack_a)(float *dst, const struct matrix *a, int i0, int mm, int p0, int kc);

/*
 * Writes the finished block t (mm, nn), rows ld apart, to g's C at (i0, j0), with bias, act and
 * add.
 */
void CPU(gemm_store)(const struct gemm *g, const float *t, ptrdiff_t ld, int i0, int mm, int j0,
                     int nn);

static inline int gemm_min(int a, int b)
{
    return a < b ? a : b;
}

static inline int gemm_round_up(int x, int to)
{
    return (x + to - 1) / to * to;
}

/* A packed B: where row p, column j lies. Blocks of KC rows, in each panels of NR columns. */
static inline size_t gemm_packed_at(int n, int k, int p, int j)
{
    int p0 = p / KC * KC, j0 = j / NR * NR, all = gemm_round_up(n, VL);
    int kc = gemm_min(KC, k - p0), width = gemm_min(NR, all - j0);
    return (size_t)all * (size_t)p0 + (size_t)j0 * (size_t)kc + (size_t)(p - p0) * (size_t)width +
           (size_t)(j - j0);
}

/* An odd number of lines: the same place of the products of a batch falls into different sets. */
static inline size_t gemm_packed_floats(int n, int k)
{
    return (((size_t)gemm_round_up(n, VL) * (size_t)k + 15) / 16 | 1) * 16;
}

#endif
