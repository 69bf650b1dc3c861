/*
 * The micro-kernel of every product: a tile of C, MR rows of NV vectors, summed in registers. A is
 * read in place through one pointer a row and one offset a step of k, so it may be a matrix, a
 * packed panel or the windows of an image; B is a packed panel. The variants for fewer rows and
 * vectors serve the edges.
 */
#include "kernels/cpu/gemm.h"

#ifdef ISA_neon
/*
 * gcc 12 would load all six factors ahead and spill sums: 24 sums, 4 of B and 6 are 34 registers.
 */
#define KEEP_ORDER() __asm__ volatile("" ::: "memory")
#else
#define KEEP_ORDER() (void)0
#endif

static inline __attribute__((always_inline)) void tile(const int rows, const int nv, int kc,
                                                       const float *const *base,
                                                       const ptrdiff_t *idx, const float *b,
                                                       float *c, ptrdiff_t ldc, float alpha,
                                                       int add)
{
    const float *a[MR];
    vf sum[MR][NV];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        a[i] = base[i];
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++)
            sum[i][v] = vf_all(0);
    }
    for (int p = 0; p < kc; p++) {
        vf bv[NV];
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++)
            bv[v] = vf_load(b + v * VL);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            vf x = vf_all(a[i][idx[p]]);
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++)
                sum[i][v] += x * bv[v];
            KEEP_ORDER();
        }
        b += nv * VL;
    }
    vf scale = vf_all(alpha);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++) {
            float *to = c + i * ldc + v * VL;
            vf_store(to, add ? (vf)(scale * sum[i][v] + vf_load(to)) : (vf)(scale * sum[i][v]));
        }
    }
}

#define TILE(rows, nv)                                                                            \
    static void tile_##rows##_##nv(int kc, const float *const *base, const ptrdiff_t *idx,        \
                                   const float *b, float *c, ptrdiff_t ldc, float alpha, int add) \
    {                                                                                             \
        tile(rows, nv, kc, base, idx, b, c, ldc, alpha, add);                                     \
    }

#define TILE_COLUMN(nv) TILE(1, nv) TILE(2, nv) TILE(3, nv) TILE(4, nv) TILE(5, nv) TILE(6, nv)

TILE_COLUMN(1)
TILE_COLUMN(2)
#if defined(ISA_avx512) || defined(ISA_neon)
TILE_COLUMN(3)
TILE_COLUMN(4)
#define ROW(rows)                                                          \
    {                                                                      \
        tile_##rows##_1, tile_##rows##_2, tile_##rows##_3, tile_##rows##_4 \
    }
#else
#define ROW(rows)                        \
    {                                    \
        tile_##rows##_1, tile_##rows##_2 \
    }
#endif

tile_fn *const CPU(gemm_tile)[MR][NV] = {ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6)};
