/* The table's gemm, row-major with strides: a struct gemm with straight axes. */
#include "kernels/cpu/gemm.h"

/*
 * Whether A is worth packing: transposed, a tile would touch one line a step of k, lda apart; and
 * rows a multiple of 1 KiB apart fall into few sets of the caches. A thin C does not repay the
 * copy.
 */
static int worth_packing(int ta, int n, int lda)
{
    return n > 2 * NR && (ta || lda % 256 == 0);
}

static struct gemm plan(int ta, int tb, int m, int n, int k, int lda, int ldb, int ldc)
{
    return (struct gemm){
        .m = m,
        .n = n,
        .k = k,
        .a = {NULL, axis_line(ta ? 1 : lda), axis_line(ta ? lda : 1)},
        .b = {NULL, axis_line(tb ? 1 : ldb), axis_line(tb ? ldb : 1)},
        .c_row = axis_line(ldc),
        .c_col = axis_line(1),
        .pack_a = worth_packing(ta, n, lda),
    };
}

void CPU(gemm)(struct device *d, int ta, int tb, int m, int n, int k, float alpha, const float *a,
               int lda, const float *b, int ldb, float *c, int ldc, int add, void *work)
{
    struct gemm g = plan(ta, tb, m, n, k, lda, ldb, ldc);
    g.alpha = alpha;
    g.add = add;
    g.a.data = a;
    g.b.data = b;
    g.c = c;
    CPU(gemm_run)(cpu_pool(d), &g, work);
}

size_t CPU(gemm_work)(struct device *d, int m, int n, int k)
{
    struct gemm g = plan(1, 0, m, n, k, m, n, n);
    g.pack_a = 1;
    return CPU(gemm_bytes)(&g);
}
