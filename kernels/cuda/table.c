/* The CUDA backend's table. */
#include "kernels/cuda/cudnn_paths.h"
#include "kernels/entries.h"

#define CUDA_DECLARE(entry) KERNEL_TYPE(entry) cuda_##entry;
KERNELS_EACH(CUDA_DECLARE)

#define CUDA_ROW(entry) .entry = cuda_##entry,

extern const struct kernels kernels_cuda;
const struct kernels kernels_cuda = {.name = "cuda",
                                     .maxpool_plan = cudnn_maxpool_plan,
                                     .avgpool_plan = cudnn_avgpool_plan,
                                     .batchnorm_plan = cudnn_batchnorm_plan,
                                     KERNELS_EACH(CUDA_ROW)};
