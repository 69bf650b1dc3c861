/*
 * Convolutions through cuDNN 8 or 9, instead of conv2d.cu's own kernels, where a user asks for it:
 * in float with fused multiply-adds, by deterministic algorithms alone. The library is looked for
 * at run time; a build without its header has no such path. Plans (descriptors, algorithms, bytes
 * of scratch) are made when the work area is asked for, and a step makes none. What fails is the
 * device's error, as a kernel's would be.
 */
#ifndef KERNELS_CUDA_CONV_CUDNN_H
#define KERNELS_CUDA_CONV_CUDNN_H

#include "kernels/cuda/device_cuda.h"
#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Frees d's cuDNN handle and plans, if it has them. */
void conv_cudnn_close(struct device *d);

/* Bytes of scratch; also makes the plan. */
size_t conv_cudnn_forward_work(struct device *d, const struct conv2d_dims *s);
size_t conv_cudnn_backward_data_work(struct device *d, const struct conv2d_dims *s);
size_t conv_cudnn_backward_weights_work(struct device *d, const struct conv2d_dims *s);

/* As conv2d.h's, but without bias and activation. */
void conv_cudnn_forward(struct device *d, float *out, const float *inp, const float *weight,
                        const struct conv2d_dims *s, int add, void *work);
void conv_cudnn_backward_data(struct device *d, float *dinp, const float *dout, const float *weight,
                              const struct conv2d_dims *s, int add, void *work);
void conv_cudnn_backward_weights(struct device *d, float *dweight, const float *dout,
                                 const float *inp, const struct conv2d_dims *s, float scale,
                                 void *work);

#ifdef __cplusplus
}
#endif
#endif
