/*
 * The names of struct kernels' entries, once, but for the optional ones at its end. A backend
 * declares its functions with their own types from here, so a signature is written in kernels.h
 * alone; tables and tests walk the same list.
 */
#ifndef KERNELS_ENTRIES_H
#define KERNELS_ENTRIES_H

#include "kernels/kernels.h"

#define KERNELS_EACH(X)                  \
    X(gemm)                              \
    X(gemm_work)                         \
    X(linear_forward)                    \
    X(linear_backward_data)              \
    X(linear_backward_weights)           \
    X(linear_work)                       \
    X(conv2d_forward)                    \
    X(conv2d_backward_data)              \
    X(conv2d_backward_weights)           \
    X(conv2d_work)                       \
    X(conv_transpose2d_forward)          \
    X(conv_transpose2d_backward_data)    \
    X(conv_transpose2d_backward_weights) \
    X(conv_transpose2d_work)             \
    X(batchnorm_forward_train)           \
    X(batchnorm_forward_eval)            \
    X(batchnorm_fold)                    \
    X(batchnorm_backward_data)           \
    X(act_forward)                       \
    X(act_backward)                      \
    X(maxpool_forward)                   \
    X(maxpool_backward)                  \
    X(avgpool_forward)                   \
    X(avgpool_backward)                  \
    X(upsample_forward)                  \
    X(upsample_backward)                 \
    X(yolo_decode)                       \
    X(dropout_forward)                   \
    X(dropout_backward)                  \
    X(softmax_xent)                      \
    X(axpy)                              \
    X(axpby)                             \
    X(copy_rows)                         \
    X(fill_uniform)                      \
    X(fill_normal)                       \
    X(fill)                              \
    X(f32_to_f16)                        \
    X(f16_to_f32)

/* The function type of an entry: KERNEL_TYPE(gemm) cpu_gemm; declares a function. */
#define KERNEL_TYPE(entry) __typeof__(*((struct kernels *)0)->entry)

#endif
