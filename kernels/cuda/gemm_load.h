/*
 * How a block reads its part of a matrix, `OUTER` rows of A or columns of B by `DEPTH` steps of k,
 * into shared memory, where it lies as a gemm_layout says. An operand is a plain struct of
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

/*
 * What a kernel multiplies, as shared memory holds it: the elements' type, how a float becomes one,
 * and by how many of them rows are longer than what they hold, which keeps them 16-byte aligned and
 * their banks apart. EITHER_WAY: the kernel reads rows along the depth as well. `lift`: gemm.h's.
 */
struct gemm_float {
    typedef float element;
    enum { EITHER_WAY = 0, OUTER_PAD = 4, DEPTH_PAD = 4 };

    static __device__ inline void put(float *to, float v, float)
    {
        *to = v;
    }

    static __device__ inline void put4(float *to, float4 v, float)
    {
        *(float4 *)to = v;
    }
};

/*
 * An operand's part in shared memory: rows along the outer side, [DEPTH][OUTER + pad], or, where
 * the kernel takes either and the operand is read along the depth, [OUTER][DEPTH + pad].
 */
template <class N, int OUTER, int DEPTH, int ALONG_DEPTH> struct gemm_layout {
    typedef typename N::element element;
    enum {
        DEPTH_ROWS = ALONG_DEPTH && N::EITHER_WAY,
        ROW = DEPTH_ROWS ? DEPTH + N::DEPTH_PAD : OUTER + N::OUTER_PAD,
        SIZE = ROW * (DEPTH_ROWS ? OUTER : DEPTH)
    };

    static __device__ inline int at(int outer, int k)
    {
        return DEPTH_ROWS ? outer * ROW + k : k * ROW + outer;
    }

    static __device__ inline void put(element *shared, int outer, int k, float v, float lift)
    {
        N::put(&shared[at(outer, k)], v, lift);
    }

    /* Four neighbours along the outer side; along the depth. */
    static __device__ inline void put_outer(element *shared, int outer, int k, float4 v, float lift)
    {
        N::put4(&shared[at(outer, k)], v, lift);
    }

    static __device__ inline void put_depth(element *shared, int outer, int k, float4 v, float lift)
    {
        element *to = &shared[at(outer, k)];
        if (DEPTH_ROWS) {
            N::put4(to, v, lift);
            return;
        }
        N::put(to, v.x, lift);
        N::put(to + ROW, v.y, lift);
        N::put(to + 2 * ROW, v.z, lift);
        N::put(to + 3 * ROW, v.w, lift);
    }
};

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
    enum { ALONG_DEPTH = 0 };

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

        template <class L>
        __device__ void store(typename L::element *shared, int thread, float lift) const
        {
#pragma unroll
            for (int c = 0; c < EACH; c++) {
                int q = thread + c * THREADS;
                if (CHUNKS % THREADS == 0 || q < CHUNKS)
                    L::put_outer(shared, q % LANES * 4, q / LANES, held[c], lift);
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
    enum { ALONG_DEPTH = 1 };

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

        template <class L>
        __device__ void store(typename L::element *shared, int thread, float lift) const
        {
            const int outer = thread / LANES, k = thread % LANES * 4;
#pragma unroll
            for (int c = 0; c < EACH; c++)
                if (CHUNKS % THREADS == 0 || thread + c * THREADS < CHUNKS)
                    L::put_depth(shared, outer + c * (THREADS / LANES), k, held[c], lift);
        }
    };
};

/* gemm_run of two operands that gemm_matrix.cu holds too. */
void gemm_columns_rows(struct device *d, const columns_operand<1> &a, const rows_operand &b,
                       const struct gemm_out *out, int depth, void *work);

#endif
