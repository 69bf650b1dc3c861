/* act(x) of the reference, for its activation layer and for the activations that its other
 * kernels fuse. */
#ifndef KERNELS_REF_ACT_H
#define KERNELS_REF_ACT_H

#include <math.h>

#include "kernels/kernels.h"

/* NaN stays NaN. */
static inline float ref_act(float x, enum act act)
{
    switch (act) {
    case ACT_RELU:
        return x < 0 ? 0 : x;
    case ACT_LEAKY:
        return x < 0 ? x * (ACT_LEAKY_PERCENT * 0.01f) : x;
    case ACT_SIGMOID:
        return (float)(1 / (1 + exp(-(double)x)));
    default:
        return x;
    }
}

#endif
