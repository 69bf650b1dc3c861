/* Medians and percentiles of the times that requests took. */
#ifndef ENGINE_LATENCY_H
#define ENGINE_LATENCY_H

#include <stdint.h>

void latency_sort(double *seconds, uint64_t n);

/* Of sorted ones: the smallest that at least this share of them did not exceed, in ms. */
double latency_ms(const double *sorted, uint64_t n, double share);

#endif
