/* The CUDA entries that exist; one that is missing is refused by name when a model is planned. */
#include "kernels/entries.h"

#define CUDA_DECLARE(entry) KERNEL_TYPE(entry) cuda_##entry;
KERNELS_EACH(CUDA_DECLARE)

#define CUDA_ROW(entry) .entry = cuda_##entry,

extern const struct kernels kernels_cuda;
const struct kernels kernels_cuda = {
    .name = "cuda",
    /* clang-format off */
    CUDA_ROW(batchnorm_forward_train)
    CUDA_ROW(batchnorm_forward_eval)
    CUDA_ROW(batchnorm_fold)
    CUDA_ROW(batchnorm_backward_data)
    CUDA_ROW(act_forward)
    CUDA_ROW(act_backward)
    CUDA_ROW(maxpool_forward)
    CUDA_ROW(maxpool_backward)
    CUDA_ROW(avgpool_forward)
    CUDA_ROW(avgpool_backward)
    CUDA_ROW(upsample_forward)
    CUDA_ROW(upsample_backward)
    CUDA_ROW(yolo_decode)
    CUDA_ROW(dropout_forward)
    CUDA_ROW(dropout_backward)
    CUDA_ROW(softmax_xent)
    CUDA_ROW(axpy)
    CUDA_ROW(axpby)
    CUDA_ROW(copy_rows)
    CUDA_ROW(fill_uniform)
    CUDA_ROW(fill_normal)
    CUDA_ROW(fill)
    CUDA_ROW(f32_to_f16)
    CUDA_ROW(f16_to_f32)
    /* clang-format on */
};
