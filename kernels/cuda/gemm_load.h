/*
 * How a block reads its part of a matrix, `OUTER` rows of A or columns of B by `DEPTH` steps of k,
 * into shared memory, where it lies as [DEPTH][OUTER + GEMM_PAD]. An operand is a plain struct of
 * arguments with a nested `loader`, one a thread:
 *
 *     init     once; outer0 is the block's first row or column
 *     prepare  the offsets of a step, for all threads; two steps ahead of its store
 *     fetch    global memory into registers, while the step before is computed
 *     store    registers into shared memory
 *
 * Beyond its edges an operand is zero. Each struct here reads four neighbours at a time, as one
 * float4 where `vec` says that all of them are aligned and inside.
 */
#ifndef KERNELS_CUDA_GEMM_LOAD_H
#define KERNELS_CUDA_GEMM_LOAD_H

#include "kernels/cuda/gemm.h"

enum { GEMM_PAD = 4 }; /* keeps rows of shared memory 16-byte aligned and their banks apart */

/* An element of a window: where it is from the window's corner, in memory and in the image. */
struct tap {
    int offset, y, x, unused; /* one 16-byte read */
};

static __device__ inline float4 float4_or_less(const float *p, int vec, int count)
{
    if (vec)
        return *(const float4 *)p;
    float4 v = make_float4(p[0], 0, 0, 0);
    if (count > 1)
        v.y = p[1];
    if (count > 2)
        v.z = p[2];
    if (count > 3)
        v.w = p[3];
    return v;
}

/*
 * X (o, p) = data[(o / per) * image + o % per + p * stride]: neighbours along the outer side, such
 * as A^T, B, or the pixels of a 1 x 1 convolution. per 0: data[o + p * stride]; else vec must be.
 */
struct rows_operand {
    const float *data;
    int outer, depth, vec;
    size_t stride, image;
    struct extent per;

    enum { SHARED_PER_STEP = 0, SHARED_PER_OUTER = 0 }; /* taps */

    template <int OUTER, int DEPTH, int THREADS> struct loader {
        enum { LANES = OUTER / 4, CHUNKS = LANES * DEPTH, EACH = (CHUNKS + THREADS - 1) / THREADS };
        float4 held[EACH];
        const float *at;
        int count; /* of this thread's four columns, how many there are */

        static __device__ void prepare(const rows_operand &, int, int, struct tap *)
        {
        }

        __device__ void init(const rows_operand &s, int outer0, int thread, struct tap *)
        {
            unsigned o = (unsigned)(outer0 + thread % LANES * 4);
            unsigned which = s.per.n ? divide(o, s.per.by) : 0;
            at = s.data + which * s.image + (o - which * (unsigned)s.per.n);
            count = s.outer - (int)o;
        }

        __device__ void fetch(const rows_operand &s, int k0, int thread, const struct tap *)
        {
#pragma unroll
            for (int c = 0; c < EACH; c++) {
                int p = k0 + (thread + c * THREADS) / LANES;
                int wanted = CHUNKS % THREADS == 0 || thread + c * THREADS < CHUNKS;
                held[c] = make_float4(0, 0, 0, 0);
                if (wanted && p < s.depth && count > 0)
                    held[c] = float4_or_less(at + p * s.stride, s.vec, count);
            }
        }

        __device__ void store(float *shared, int thread) const
        {
#pragma unroll
            for (int c = 0; c < EACH; c++) {
                int q = thread + c * THREADS;
                if (CHUNKS % THREADS == 0 || q < CHUNKS)
                    *(float4 *)&shared[q / LANES * (OUTER + GEMM_PAD) + q % LANES * 4] = held[c];
            }
        }
    };
};

/*
 * X (o, p) = data[o * stride + offset (p)]: neighbours along the depth, such as A, B^T, a
 * convolution's weights. PLAIN: offset (p) = p. Else p is a channel, a row and a column of `rows`
 * by `columns`, offset = channel * image + row * y + column * x.
 */
template <int PLAIN> struct columns_operand {
    const float *data;
    int outer, depth, vec;
    size_t stride, image;
    int rows, y, x;
    struct extent area, columns; /* area: rows * columns */

    enum { SHARED_PER_STEP = 0, SHARED_PER_OUTER = 0 };

    template <int OUTER, int DEPTH, int THREADS> struct loader {
        enum { LANES = DEPTH / 4, CHUNKS = LANES * OUTER, EACH = (CHUNKS + THREADS - 1) / THREADS };
        float4 held[EACH];
        const float *at;
        int left; /* outer elements from this thread's first one on */

        static __device__ void prepare(const columns_operand &, int, int, struct tap *)
        {
        }

        __device__ void init(const columns_operand &s, int outer0, int thread, struct tap *)
        {
            int o = outer0 + thread / LANES;
            at = s.data + o * s.stride;
            left = s.outer - o;
        }

        /* Where the elements p .. p + 3 are, from their row's first. */
        static __device__ void offsets(const columns_operand &s, int p, size_t to[4])
        {
            if (PLAIN) {
                for (int e = 0; e < 4; e++)
                    to[e] = (size_t)(p + e);
                return;
            }
            unsigned image = divide((unsigned)p, s.area.by);
            int rest = p - (int)image * s.area.n;
            int row = (int)divide((unsigned)rest, s.columns.by), column = rest - row * s.columns.n;
            size_t first = image * s.image;
            int inside = row * s.y + column * s.x;
#pragma unroll
            for (int e = 0; e < 4; e++) {
                to[e] = first + (size_t)inside;
                inside += s.x;
                if (++column < s.columns.n)
                    continue;
                column = 0;
                inside += s.y - s.columns.n * s.x;
                if (++row < s.rows)
                    continue;
                row = 0;
                inside = 0;
                first += s.image;
            }
        }

        __device__ void fetch(const columns_operand &s, int k0, int thread, const struct tap *)
        {
            int p = k0 + thread % LANES * 4;
            size_t to[4];
            offsets(s, p, to);
#pragma unroll
            for (int c = 0; c < EACH; c++) {
                const float *row = at + c * (THREADS / LANES) * s.stride;
                int wanted = CHUNKS % THREADS == 0 || thread + c * THREADS < CHUNKS;
                float4 v = make_float4(0, 0, 0, 0);
                if (wanted && c * (THREADS / LANES) < left && p < s.depth) {
                    if (s.vec) {
                        v = *(const float4 *)&row[to[0]];
                    } else {
                        v.x = row[to[0]];
                        v.y = p + 1 < s.depth ? row[to[1]] : 0;
                        v.z = p + 2 < s.depth ? row[to[2]] : 0;
                        v.w = p + 3 < s.depth ? row[to[3]] : 0;
                    }
                }
                held[c] = v;
            }
        }

        __device__ void store(float *shared, int thread) const
        {
            float *to = shared + thread % LANES * 4 * (OUTER + GEMM_PAD) + thread / LANES;
#pragma unroll
            for (int c = 0; c < EACH; c++) {
                if (CHUNKS % THREADS != 0 && thread + c * THREADS >= CHUNKS)
                    continue;
                to[c * (THREADS / LANES)] = held[c].x;
                to[c * (THREADS / LANES) + OUTER + GEMM_PAD] = held[c].y;
                to[c * (THREADS / LANES) + 2 * (OUTER + GEMM_PAD)] = held[c].z;
                to[c * (THREADS / LANES) + 3 * (OUTER + GEMM_PAD)] = held[c].w;
            }
        }
    };
};

/* gemm_run of two operands that gemm_matrix.cu holds too. */
void gemm_columns_rows(struct device *d, const columns_operand<1> &a, const rows_operand &b,
                       const struct gemm_out *out, int depth, void *work);

#endif
