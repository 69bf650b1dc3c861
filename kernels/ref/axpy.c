/* Sums of two arrays. */
#include "kernels/ref/ref.h"

void ref_axpy(struct device *d, float *y, const float *x, size_t n, float a)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

void ref_axpby(struct device *d, float *y, const float *x, size_t n, float a, float b)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a * x[i] + b * y[i];
}
