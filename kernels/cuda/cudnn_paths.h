/*
 * The second way of the CUDA kernels: cuDNN 8 or 9, for convolutions, pools and batch-norm, in
 * float with fused multiply-adds and by deterministic algorithms alone. The library is looked for
 * at run time; a build without its header has no such way (no_cudnn.c).
 *
 * What goes through it is settled before the first step, where the entries for work areas and plans
 * of struct kernels are asked: each shape and direction by itself, always or where it measured
 * faster (cudnn_choice.c). A call of a kernel then returns 1 where cuDNN computes it, which what
 * fails turns into the device's error, and 0 where our own kernel is to: of a shape that was not
 * planned too, a short batch's. It allocates nothing, sets nothing up, and may be recorded.
 */
#ifndef KERNELS_CUDA_CUDNN_PATHS_H
#define KERNELS_CUDA_CUDNN_PATHS_H

#include "kernels/cuda/device_cuda.h"
#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Frees d's cuDNN handle and plans, if it has them. */
void cudnn_close(struct device *d);

/* Where d has cuDNN: a handle for a new lane, -ENOTSUP and a sentence; the lane that is now is
 * another one, and cuDNN queues there. */
int cudnn_lane_open(struct device *d, int lane);
void cudnn_lane(struct device *d);

/* Plan a shape of conv2d.h's; bytes of scratch. */
size_t cudnn_conv_forward_work(struct device *d, const struct conv2d_dims *s);
size_t cudnn_conv_backward_data_work(struct device *d, const struct conv2d_dims *s);
size_t cudnn_conv_backward_weights_work(struct device *d, const struct conv2d_dims *s);

/* As conv2d.h's, but without bias and activation. */
int cudnn_conv_forward(struct device *d, float *out, const float *inp, const float *weight,
                       const struct conv2d_dims *s, int add, void *work);
int cudnn_conv_backward_data(struct device *d, float *dinp, const float *dout, const float *weight,
                             const struct conv2d_dims *s, int add, void *work);
int cudnn_conv_backward_weights(struct device *d, float *dweight, const float *dout,
                                const float *inp, const struct conv2d_dims *s, float scale,
                                void *work);

/* Plan a shape of kernels.h's; nothing where the device has no second way. */
void cudnn_maxpool_plan(struct device *d, const struct pool_dims *s, int train);
void cudnn_avgpool_plan(struct device *d, int n, int c, int h, int w, int oh, int ow, int train);
void cudnn_batchnorm_plan(struct device *d, int n, int c, int hw, float eps, int train);

/* As kernels.h's. pool_cudnn.c says which are never cuDNN's. */
int cudnn_maxpool_forward(struct device *d, float *out, const uint8_t *arg, const float *inp,
                          const struct pool_dims *s);
int cudnn_avgpool_forward(struct device *d, float *out, const float *inp, int n, int c, int h,
                          int w, int oh, int ow);
int cudnn_avgpool_backward(struct device *d, float *dinp, const float *dout, int n, int c, int h,
                           int w, int oh, int ow, int add);

/* As kernels.h's; evaluation without activation. */
int cudnn_batchnorm_train(struct device *d, float *out, float *saved_mean, float *saved_invstd,
                          float *running_mean, float *running_var, const float *inp,
                          const float *weight, const float *bias, int n, int c, int hw,
                          float momentum, float eps);
int cudnn_batchnorm_eval(struct device *d, float *out, const float *inp, const float *weight,
                         const float *bias, const float *running_mean, const float *running_var,
                         int n, int c, int hw, float eps);
int cudnn_batchnorm_backward(struct device *d, float *dinp, float *saved_dweight,
                             float *saved_dbias, const float *dout, const float *inp,
                             const float *weight, const float *saved_mean,
                             const float *saved_invstd, int n, int c, int hw, float eps, int add);

#ifdef __cplusplus
}
#endif
#endif
