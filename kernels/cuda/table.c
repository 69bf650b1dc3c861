/* The CUDA backend's table. */
#include "kernels/entries.h"

#define CUDA_DECLARE(entry) KERNEL_TYPE(entry) cuda_##entry;
KERNELS_EACH(CUDA_DECLARE)

#define CUDA_ROW(entry) .entry = cuda_##entry,

extern const struct kernels kernels_cuda;
const struct kernels kernels_cuda = {.name = "cuda", KERNELS_EACH(CUDA_ROW)};
