/*
 * Long sums in a fixed order that vectorises: SUMS running side by side in float, moved into a
 * double before they grow long. The result does not depend on the vector's width.
 */
#ifndef KERNELS_CPU_SUMS_H
#define KERNELS_CPU_SUMS_H

#include <stddef.h>

enum { SUMS = 16, SUMS_RUN = 32 * SUMS };

/* Defines: double name(params, size_t n): the sum over i < n of `term`, an expression in i. */
#define SUMS_DEFINE(name, term, ...)                                  \
    static inline double name(__VA_ARGS__, size_t n)                  \
    {                                                                 \
        double total = 0;                                             \
        size_t i = 0;                                                 \
        while (i + SUMS <= n) {                                       \
            size_t end = n - i < SUMS_RUN ? n : i + SUMS_RUN;         \
            float sum[SUMS] = {0};                                    \
            for (size_t j = i; j + SUMS <= end; j += SUMS, i += SUMS) \
                for (int k = 0; k < SUMS; k++)                        \
                    sum[k] += term(j + k);                            \
            for (int k = 0; k < SUMS / 2; k++)                        \
                total += (double)sum[k] + sum[k + SUMS / 2];          \
        }                                                             \
        for (; i < n; i++)                                            \
            total += term(i);                                         \
        return total;                                                 \
    }

#endif
