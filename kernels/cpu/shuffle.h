/*
 * gcc before 12 (Ubuntu 20.04, 22.04) has no __builtin_shufflevector; its own __builtin_shuffle
 * does the same to vectors of 4-byte elements, which are all that is shuffled here.
 */
#ifndef KERNELS_CPU_SHUFFLE_H
#define KERNELS_CPU_SHUFFLE_H

#if !defined(__clang__) && __GNUC__ < 12
#define __builtin_shufflevector(a, b, ...) \
    __builtin_shuffle(a, b, (int __attribute__((vector_size(sizeof(a))))){__VA_ARGS__})
#endif

#endif
