/*
 * Rows between two strides, an element a thread, or a quad where rows, strides and pointers are
 * multiples of four: 8 bytes an element, 12 adding.
 */
#include "kernels/cuda/divide.h"
#include "kernels/cuda/quads.h"

struct copy {
    uint32_t count, row; /* elements or quads; row: in `div` too */
    struct divisor div;
    size_t dst_stride, src_stride;
};

static __device__ __forceinline__ float plus(float a, float b)
{
    return a + b;
}

static __device__ __forceinline__ float4 plus(float4 a, float4 b)
{
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

template <class T> static __global__ void copy_rows(T *dst, const T *src, struct copy s, int add)
{
    CUDA_EACH(i, s.count) {
        uint32_t r = divide((uint32_t)i, s.div), x = (uint32_t)i - r * s.row;
        T *to = dst + r * s.dst_stride + x, v = src[r * s.src_stride + x];
        *to = add ? plus(*to, v) : v;
    }
}

/* At most DIVIDE_MOST elements: a kernel counts in 32 bits. */
template <class T>
static void copy_part(struct device *d, T *dst, size_t dst_stride, const T *src, size_t src_stride,
                      size_t row, size_t rows, int add)
{
    struct copy s;
    s.count = (uint32_t)(row * rows);
    s.row = (uint32_t)row;
    s.div = divisor_make(s.row);
    s.dst_stride = dst_stride;
    s.src_stride = src_stride;
    LAUNCH_EACH(d, copy_rows<T>, s.count, dst, src, s, add);
}

void CUDA(copy_rows)(struct device *d, float *dst, size_t dst_stride, const float *src,
                     size_t src_stride, size_t row, size_t rows, int add)
{
    const size_t most = (size_t)1 << 30;
    if (row == 0 || rows == 0)
        return;
    if (dst_stride == row && src_stride == row) {
        row *= rows;
        rows = 1;
    }
    if (rows == 1)
        dst_stride = src_stride = row;
    int quads =
        (row | dst_stride | src_stride) % 4 == 0 && cuda_aligned(dst, 16) && cuda_aligned(src, 16);
    for (size_t x = 0; x < row; x += most) {
        size_t part = row - x < most ? row - x : most, some = most / part;
        for (size_t r = 0; r < rows; r += some) {
            size_t n = rows - r < some ? rows - r : some;
            float *to = dst + r * dst_stride + x;
            const float *from = src + r * src_stride + x;
            if (quads)
                copy_part(d, (float4 *)to, dst_stride / 4, (const float4 *)from, src_stride / 4,
                          part / 4, n, add);
            else
                copy_part(d, to, dst_stride, from, src_stride, part, n, add);
        }
    }
}
