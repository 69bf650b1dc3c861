/* Rows between two strides: blocks of whole rows, or parts of a row where rows are long. */
#include <string.h>

#include "kernels/cpu/ranges.h"

struct copy_args {
    float *dst;
    const float *src;
    size_t dst_stride, src_stride, row, part, parts; /* a row is `parts` pieces of `part` */
    int add;
};

static void copy_pieces(const void *arg, size_t from, size_t to)
{
    const struct copy_args *a = arg;
    for (size_t piece = from; piece < to; piece++) {
        size_t r = piece / a->parts, start = piece % a->parts * a->part, left = a->row - start;
        size_t n = left < a->part ? left : a->part;
        float *dst = a->dst + r * a->dst_stride + start;
        const float *src = a->src + r * a->src_stride + start;
        if (!a->add) {
            memcpy(dst, src, n * sizeof(*dst));
            continue;
        }
        ELEMENTWISE
        for (size_t i = 0; i < n; i++)
            dst[i] += src[i];
    }
}

void CPU(copy_rows)(struct device *d, float *dst, size_t dst_stride, const float *src,
                    size_t src_stride, size_t row, size_t rows, int add)
{
    if (row == 0 || rows == 0)
        return;
    struct copy_args a = {dst, src, dst_stride, src_stride, row, 0, 0, add};
    a.part = row < RANGE_BLOCK ? row : RANGE_BLOCK;
    a.parts = (row + a.part - 1) / a.part;
    size_t per_block = RANGE_BLOCK / a.part;
    ranges_run(d, rows * a.parts, per_block, copy_pieces, &a);
}
