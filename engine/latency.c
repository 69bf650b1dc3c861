/* Nearest-rank percentiles. */
#include "engine/latency.h"

#include <math.h>
#include <stdlib.h>

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void latency_sort(double *seconds, uint64_t n)
{
    qsort(seconds, n, sizeof(*seconds), by_size);
}

double latency_ms(const double *sorted, uint64_t n, double share)
{
    uint64_t rank = (uint64_t)ceil(share * (double)n);
    return 1e3 * sorted[rank ? rank - 1 : 0];
}
