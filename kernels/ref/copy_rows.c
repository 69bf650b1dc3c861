/* Rows between two strides: what concatenates channels and takes them apart again. */
#include "kernels/ref/ref.h"

void ref_copy_rows(struct device *d, float *dst, size_t dst_stride, const float *src,
                   size_t src_stride, size_t row, size_t rows, int add)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < row; i++) {
            float *to = &dst[r * dst_stride + i];
            *to = add ? *to + src[r * src_stride + i] : src[r * src_stride + i];
        }
}
