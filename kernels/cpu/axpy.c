/* Sums of two arrays, at memory speed. */
#include "kernels/cpu/ranges.h"

struct axpy_args {
    float *y;
    const float *x;
    float a, b;
};

static void axpy_range(const void *arg, size_t from, size_t to)
{
    const struct axpy_args *s = arg;
    float *y = s->y, a = s->a;
    const float *x = s->x;
    ELEMENTWISE
    for (size_t i = from; i < to; i++)
        y[i] += a * x[i];
}

static void axpby_range(const void *arg, size_t from, size_t to)
{
    const struct axpy_args *s = arg;
    float *y = s->y, a = s->a, b = s->b;
    const float *x = s->x;
    ELEMENTWISE
    for (size_t i = from; i < to; i++)
        y[i] = a * x[i] + b * y[i];
}

void CPU(axpy)(struct device *d, float *y, const float *x, size_t n, float a)
{
    struct axpy_args s = {y, x, a, 1};
    ranges_run(d, n, RANGE_BLOCK, axpy_range, &s);
}

void CPU(axpby)(struct device *d, float *y, const float *x, size_t n, float a, float b)
{
    struct axpy_args s = {y, x, a, b};
    ranges_run(d, n, RANGE_BLOCK, axpby_range, &s);
}
