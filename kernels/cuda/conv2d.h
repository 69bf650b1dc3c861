/* Convolutions as products, for the table's conv2d and, with the directions changed, for its
 * conv_transpose2d, by our own kernels or by cuDNN (cudnn_paths.h). Dimensions are the plain
 * convolution's. */
#ifndef KERNELS_CUDA_CONV2D_H
#define KERNELS_CUDA_CONV2D_H

#include "kernels/cuda/gemm_plan.h"
#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* out (n, k, oh, ow) from inp (n, c, h, w); bias (k) or NULL. Of these products A is the weight, or
 * dout where it is for the weight's gradient; B the image. */
void conv_forward(struct device *d, float *out, const float *inp, const float *weight,
                  const float *bias, const struct conv2d_dims *s, int add, enum act act,
                  enum gemm_gradient gradient, void *work);

/* to (n, c, h, w) from dout (n, k, oh, ow); bias (c) or NULL. */
void conv_backward_data(struct device *d, float *to, const float *dout, const float *weight,
                        const float *bias, const struct conv2d_dims *s, int add, enum act act,
                        enum gemm_gradient gradient, void *work);

void conv_backward_weights(struct device *d, float *dweight, const float *dout, const float *inp,
                           const struct conv2d_dims *s, float scale, enum gemm_gradient gradient,
                           void *work);

/* Bytes of the work area of each. */
size_t conv_forward_work(struct device *d, const struct conv2d_dims *s);
size_t conv_backward_data_work(struct device *d, const struct conv2d_dims *s);
size_t conv_backward_weights_work(struct device *d, const struct conv2d_dims *s);

#ifdef __cplusplus
}
#endif
#endif
