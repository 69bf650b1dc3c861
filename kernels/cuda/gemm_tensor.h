/*
 * Products by tensor cores (gemm_frame.h): operands are rounded to TF32 or to half on their way
 * into shared memory, to nearest; products are exact, sums float, and what follows the sums is as
 * in gemm_tile.h. A warp computes WM x WN of C in pieces of 16 x 16. Shared memory holds an operand
 * the way round in which it was read, and the pieces are loaded accordingly.
 *
 * The pieces' layout in registers is the hardware's own, so that a tile leaves by way of shared
 * memory: a warp at a time, 512 sums at once, from where gemm_store_tile takes 4 x 4 a thread.
 *
 * What a block takes, by ptxas 13, halves for sm_75, 80, 90 and TF32 for sm_80, 90, all operands.
 * Some of the first spill 4 bytes. Not yet run on a GPU.
 *
 *   tile       threads  a warp's  shared, half  registers   shared, TF32  registers
 *   128 x 128  256      64 x 32   18 to 26      120 to 128  34 to 42      128
 *   64 x 64    128      32 x 32   9 to 13       85 to 106   18 to 21      96 to 118
 *   128 x 16   128      32 x 16   10 to 14      71 to 90    19 to 24      80 to 96
 */
#ifndef KERNELS_CUDA_GEMM_TENSOR_H
#define KERNELS_CUDA_GEMM_TENSOR_H

#include <cuda_fp16.h>
#include <mma.h>

#include "kernels/cuda/gemm_tile.h"

/* What this compilation is for: 10 * compute capability. Host code sees all there is. */
#ifdef __CUDA_ARCH__
#define GEMM_ARCH (__CUDA_ARCH__ / 10)
#else
#define GEMM_ARCH 1000
#endif

struct __align__(8) gemm_half4
{
    __half2 xy, zw;
};

/* Pads: eight rows of 16 bytes, one of each 8 x 8 of a piece, lie in different banks. */
struct gemm_half {
    typedef __half element, piece;
    enum { COMPILED = GEMM_ARCH >= 70, EITHER_WAY = 1, OUTER_PAD = 8, DEPTH_PAD = 8, K = 16 };

    static __device__ inline void put(__half *to, float v, float lift)
    {
        *to = __float2half_rn(v * lift);
    }

    static __device__ inline void put4(__half *to, float4 v, float lift)
    {
        struct gemm_half4 h = {__floats2half2_rn(v.x * lift, v.y * lift),
                               __floats2half2_rn(v.z * lift, v.w * lift)};
        *(struct gemm_half4 *)to = h;
    }
};

/* Pads: a piece is read as words, 8 neighbours of 4 rows or 4 of 8, which fall on all 32 banks. */
struct gemm_tf32 {
    typedef float element;
    enum { COMPILED = GEMM_ARCH >= 80, EITHER_WAY = 1, OUTER_PAD = 8, DEPTH_PAD = 4, K = 8 };
#if GEMM_ARCH >= 80
    typedef nvcuda::wmma::precision::tf32 piece;

    static __device__ inline float rounded(float v)
    {
        return nvcuda::wmma::__float_to_tf32(v);
    }

    static __device__ inline void put(float *to, float v, float)
    {
        *to = rounded(v);
    }

    static __device__ inline void put4(float *to, float4 v, float)
    {
        *(float4 *)to = make_float4(rounded(v.x), rounded(v.y), rounded(v.z), rounded(v.w));
    }
#endif
};

/* A warp's part of shared memory at the end: P_M x P_N sums at once. */
template <int WN> struct tensor_patch {
    enum {
        P_N = WN < 32 ? WN : 32,
        P_M = 512 / P_N,
        P_ROW = P_N + 4,
        PATCH = P_M * P_ROW, /* floats */
        TM = 4,              /* of gemm_store_tile, whose tile it is */
        TN = 4,
        BM = P_M,
        BN = P_N
    };
};

#if GEMM_ARCH >= 70
/* How rows of shared memory run, for A (outer, k) and B (k, outer). */
template <int DEPTH_ROWS> struct gemm_way {
    typedef nvcuda::wmma::col_major a;
    typedef nvcuda::wmma::row_major b;
};
template <> struct gemm_way<1> {
    typedef nvcuda::wmma::row_major a;
    typedef nvcuda::wmma::col_major b;
};

template <class N, int WM, int WN, int DEPTH, int WARPS_N> struct tensor_sums {
    typedef tensor_patch<WN> patch_of;
    enum { P_M = patch_of::P_M, P_N = patch_of::P_N, P_ROW = patch_of::P_ROW };
    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, N::K, float> sum[WM / 16][WN / 16];
    int warp, row, column; /* the warp's first */

    __device__ inline void init(int thread)
    {
        warp = thread / 32;
        row = warp / WARPS_N * WM;
        column = warp % WARPS_N * WN;
#pragma unroll
        for (int i = 0; i < WM / 16; i++)
#pragma unroll
            for (int j = 0; j < WN / 16; j++)
                nvcuda::wmma::fill_fragment(sum[i][j], 0.0f);
    }

    template <class LA, class LB>
    __device__ inline void step(const typename N::element *a, const typename N::element *b)
    {
        using namespace nvcuda::wmma;
#pragma unroll 1 /* both TF32 steps at once spill 44 bytes of the 128 x 128 tile on sm_80 */
        for (int k = 0; k < DEPTH; k += N::K) {
            fragment<matrix_b, 16, 16, N::K, typename N::piece,
                     typename gemm_way<LB::DEPTH_ROWS>::b>
                y[WN / 16];
#pragma unroll
            for (int j = 0; j < WN / 16; j++)
                load_matrix_sync(y[j], b + LB::at(column + 16 * j, k), LB::ROW);
#pragma unroll
            for (int i = 0; i < WM / 16; i++) {
                fragment<matrix_a, 16, 16, N::K, typename N::piece,
                         typename gemm_way<LA::DEPTH_ROWS>::a>
                    x;
                load_matrix_sync(x, a + LA::at(row + 16 * i, k), LA::ROW);
#pragma unroll
                for (int j = 0; j < WN / 16; j++)
                    mma_sync(sum[i][j], x, y[j], sum[i][j]);
            }
        }
    }

    __device__ inline void store(const struct gemm_out &out, int row0, int column0, unsigned part,
                                 void *shared)
    {
        float *patch = (float *)shared + warp * patch_of::PATCH;
        const int lane = (int)threadIdx.x % 32, i0 = lane / (P_N / 4) * 4,
                  j0 = lane % (P_N / 4) * 4;
        __syncthreads(); /* other warps may still read A and B there */
#pragma unroll
        for (int i = 0; i < WM; i += P_M)
#pragma unroll
            for (int j = 0; j < WN; j += P_N) {
#pragma unroll
                for (int p = 0; p < P_M; p += 16)
#pragma unroll
                    for (int q = 0; q < P_N; q += 16)
                        nvcuda::wmma::store_matrix_sync(patch + p * P_ROW + q,
                                                        sum[(i + p) / 16][(j + q) / 16], P_ROW,
                                                        nvcuda::wmma::mem_row_major);
                __syncwarp();
                float v[4][4];
#pragma unroll
                for (int r = 0; r < 4; r++)
                    *(float4 *)v[r] = *(const float4 *)&patch[(i0 + r) * P_ROW + j0];
                gemm_store_tile<patch_of>(out, v, row0 + row + i + i0, column0 + column + j + j0,
                                          part);
                __syncwarp();
            }
    }
};
#endif

template <class N, int BM_, int BN_, int WM, int WN, int DEPTH_, int BLOCKS_> struct tensor_tile {
    typedef N number;
    enum {
        COMPILED = N::COMPILED,
        BM = BM_,
        BN = BN_,
        DEPTH = DEPTH_,
        BLOCKS = BLOCKS_,
        WARPS_N = BN / WN,
        WARPS = BM / WM * WARPS_N,
        THREADS = 32 * WARPS,
        STAGE = WARPS * tensor_patch<WN>::PATCH * sizeof(float) / sizeof(typename N::element)
    };
#if GEMM_ARCH >= 70
    typedef tensor_sums<N, WM, WN, DEPTH, WARPS_N> sums;
#endif
};

template <class N, class A, class B>
static void tensor_launch(struct device *d, const A &a, const B &b, const struct gemm_out *out,
                          int depth, const struct gemm_plan *plan)
{
    if (plan->tile == TILE_128x128)
        gemm_launch<tensor_tile<N, 128, 128, 64, 32, 16, 2>>(d, a, b, out, depth, plan);
    else if (plan->tile == TILE_64x64)
        gemm_launch<tensor_tile<N, 64, 64, 32, 32, 16, 4>>(d, a, b, out, depth, plan);
    else
        gemm_launch<tensor_tile<N, 128, 16, 32, 16, 16, 4>>(d, a, b, out, depth, plan);
}

template <class A, class B>
void gemm_tensor_launch(struct device *d, const A &a, const B &b, const struct gemm_out *out,
                        int depth, const struct gemm_plan *plan)
{
    if (cuda_of(d)->math == MATH_TF32)
        tensor_launch<gemm_tf32>(d, a, b, out, depth, plan);
    else
        tensor_launch<gemm_half>(d, a, b, out, depth, plan);
}

#define GEMM_TENSOR_PAIR(A, B)                                                    \
    template void gemm_tensor_launch<A, B>(struct device *, const A &, const B &, \
                                           const struct gemm_out *, int,          \
                                           const struct gemm_plan *);

#endif
