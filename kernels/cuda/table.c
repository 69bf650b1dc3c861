/* The CUDA entries that exist; one that is missing is refused by name when a model is planned. */
#include "kernels/entries.h"

#define CUDA_DECLARE(entry) KERNEL_TYPE(entry) cuda_##entry;
KERNELS_EACH(CUDA_DECLARE)

#define CUDA_ROW(entry) .entry = cuda_##entry,

extern const struct kernels kernels_cuda;
const struct kernels kernels_cuda = {
    .name = "cuda",
    /* clang-format off */
    CUDA_ROW(fill_uniform)
    CUDA_ROW(fill_normal)
    CUDA_ROW(fill)
    /* clang-format on */
};
