/* The reference backend's table. */
#include "kernels/ref/ref.h"

const struct kernels kernels_ref = {
    .name = "reference",
    .batchnorm_forward_train = ref_batchnorm_forward_train,
    .batchnorm_forward_eval = ref_batchnorm_forward_eval,
    .batchnorm_backward_data = ref_batchnorm_backward_data,
    .act_forward = ref_act_forward,
    .act_backward = ref_act_backward,
    .maxpool_forward = ref_maxpool_forward,
    .maxpool_backward = ref_maxpool_backward,
    .avgpool_forward = ref_avgpool_forward,
    .avgpool_backward = ref_avgpool_backward,
    .upsample_forward = ref_upsample_forward,
    .upsample_backward = ref_upsample_backward,
    .dropout_forward = ref_dropout_forward,
    .dropout_backward = ref_dropout_backward,
    .softmax_xent = ref_softmax_xent,
    .axpy = ref_axpy,
    .axpby = ref_axpby,
    .copy_rows = ref_copy_rows,
    .fill_uniform = ref_fill_uniform,
    .fill_normal = ref_fill_normal,
    .fill = ref_fill,
    .f32_to_f16 = ref_f32_to_f16,
    .f16_to_f32 = ref_f16_to_f32,
};
