/* A GPU's ceiling for benches. Builds without CUDA have neither function, and no GPU to ask for. */
#ifndef BENCH_CUDA_PEAK_H
#define BENCH_CUDA_PEAK_H

#include <stddef.h>

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Queues one run, in d's math, and returns its floating-point operations. out: cuda_peak_floats on
 * the GPU. */
double cuda_peak_run(struct device *d, float *out) __attribute__((weak));
size_t cuda_peak_floats(struct device *d) __attribute__((weak));

#ifdef __cplusplus
}
#endif
#endif
