/* Products of two matrices: the four ways in which they may be stored. */
#include "kernels/cuda/gemm_tile.h"

static struct columns_operand<1> columns_of(struct gemm_matrix m, int outer, int depth) {
    struct columns_operand<1> s = {
    };
    s.data = m.data;
    s.outer = outer;
    s.depth = depth;
    s.stride = (size_t)m.stride;
    s.vec = gemm_aligned(m.data, s.stride) && depth % 4 == 0;
    return s;
}

static struct rows_operand
rows_of(struct gemm_matrix m, int outer, int depth)
{
    struct rows_operand s = {};
    s.data = m.data;
    s.outer = outer;
    s.depth = depth;
    s.stride = (size_t)m.stride;
    s.vec = gemm_aligned(m.data, s.stride) && outer % 4 == 0;
    return s;
}

void gemm_columns_rows(struct device *d, const columns_operand<1> &a, const rows_operand &b,
                       const struct gemm_out *out, int depth, void *work)
{
    gemm_run(d, a, b, out, depth, work);
}

void gemm_matrices(struct device *d, struct gemm_matrix a, struct gemm_matrix b,
                   const struct gemm_out *out, int m, int n, int depth, void *work)
{
    struct gemm_out turned = *out;
    if (gemm_turned(m, n)) {
        if (out->gradient != GRADIENT_NONE)
            turned.gradient = out->gradient == GRADIENT_A ? GRADIENT_B : GRADIENT_A;
        out = &turned;
        struct gemm_matrix other = a;
        int rows = m;
        a = b;
        b = other;
        m = n;
        n = rows;
    }
    if (a.along_depth && b.along_depth)
        gemm_run(d, columns_of(a, m, depth), columns_of(b, n, depth), out, depth, work);
    else if (a.along_depth)
        gemm_columns_rows(d, columns_of(a, m, depth), rows_of(b, n, depth), out, depth, work);
    else if (b.along_depth)
        gemm_run(d, rows_of(a, m, depth), columns_of(b, n, depth), out, depth, work);
    else
        gemm_run(d, rows_of(a, m, depth), rows_of(b, n, depth), out, depth, work);
}
