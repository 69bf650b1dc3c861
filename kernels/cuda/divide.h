/*
 * Division by a number that is the same for a whole launch, as a multiplication and a shift: GPUs
 * have no integer division, a loop of some twenty instructions stands in for it. Granlund,
 * Montgomery, "Division by invariant integers using multiplication", 1994, section 4.
 *
 *     struct divisor by = divisor_make(w);
 *     uint32_t y = divide(i, by), x = i - y * w;
 */
#ifndef KERNELS_CUDA_DIVIDE_H
#define KERNELS_CUDA_DIVIDE_H

#include <stdint.h>

#include "base/inline.h"

enum { DIVIDE_MOST = 0x7fffffff }; /* what may be divided, and by what */

struct divisor {
    uint32_t multiplier, shift;
};

static inline struct divisor divisor_make(uint32_t by)
{
    uint32_t shift = 0;
    while (((uint64_t)1 << shift) < by)
        shift++;
    uint64_t more =
        ((uint64_t)1 << shift) - by; /* 2^32 + multiplier is about 2^(32 + shift) / by */
    struct divisor d = {(uint32_t)((more << 32) / by + 1), shift};
    return d;
}

HOST_DEVICE_INLINE uint32_t divide(uint32_t n, struct divisor by)
{
    return ((uint32_t)((uint64_t)n * by.multiplier >> 32) + n) >> by.shift;
}

#endif
