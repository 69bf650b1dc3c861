/* CUDA's half type for g++, as far as our .cu files use it: conversions, rounded as hardware. */
#ifndef TESTS_EMU_CUDA_FP16_H
#define TESTS_EMU_CUDA_FP16_H

#include "cuda_runtime.h"
#include "kernels/half.h"

struct __align__(2) __half
{
    unsigned short bits;
};
struct __align__(4) __half2
{
    __half x, y;
};

static inline __half __float2half_rn(float v)
{
    return {half_from(v)};
}
static inline float __half2float(__half v)
{
    return half_to_float(v.bits);
}
static inline __half2 __floats2half2_rn(float x, float y)
{
    return {__float2half_rn(x), __float2half_rn(y)};
}

#endif
