/*
 * The vector type of the instruction set that a file is compiled for, in GCC's and clang's common
 * vector extension: one source serves SSE2, AVX2, AVX-512 and NEON. a * b + c becomes one fused
 * multiply-add where the set has it (the build passes -ffp-contract=fast).
 */
#ifndef KERNELS_CPU_VECTOR_H
#define KERNELS_CPU_VECTOR_H

#include "kernels/cpu/shuffle.h"

#if defined(ISA_avx512)
#define VL 16
#elif defined(ISA_avx2)
#define VL 8
#else
#define VL 4
#endif

/* Loads and stores need no alignment; may_alias: it looks at arrays of float. */
typedef float vf __attribute__((vector_size(VL * 4), aligned(4), may_alias));

static inline vf vf_load(const float *p)
{
    return *(const vf *)p;
}

static inline void vf_store(float *p, vf v)
{
    *(vf *)p = v;
}

static inline vf vf_all(float x)
{
#if VL == 16
    return (vf){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#elif VL == 8
    return (vf){x, x, x, x, x, x, x, x};
#else
    return (vf){x, x, x, x};
#endif
}

/*
 * Transposes a VL x VL square in registers: log2(VL) rounds of perfect shuffles, each interleaving
 * row i with row i + VL / 2. A round rotates the bits of (row, column) by one, so that after all of
 * them rows and columns have changed places.
 */
#if VL == 16
#define VF_LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define VF_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif VL == 8
#define VF_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define VF_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define VF_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define VF_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

static inline __attribute__((always_inline)) void vf_transpose(vf r[VL])
{
    for (int round = 1; round < VL; round *= 2) {
        vf t[VL];
#pragma GCC unroll 8
        for (int i = 0; i < VL / 2; i++) {
            t[2 * i] = VF_LOW(r[i], r[i + VL / 2]);
            t[2 * i + 1] = VF_HIGH(r[i], r[i + VL / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++)
            r[i] = t[i];
    }
}

#endif
