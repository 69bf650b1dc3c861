/*
 * As much of cuDNN's interface as kernels/cuda uses (cudnn_plan.h), for MODE=emu. What stands
 * behind it is emu_cudnn*.cpp: plain loops, and more rules than cuDNN's own about what may be
 * called while a stream is captured. CUDA_EMU sets what of it is broken (emu.h), a test by
 * emu_cudnn_now too.
 */
#ifndef TESTS_EMU_CUDNN_H
#define TESTS_EMU_CUDNN_H

#include "cuda_runtime_api.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CUDNN_MAJOR 9
#define CUDNN_LIBRARY emu_cudnn_library() /* for dlopen */

/* NULL, the program itself, or a file that is not there: CUDA_EMU=cudnn=0. */
const char *emu_cudnn_library(void);

extern struct emu_cudnn_now {
    int calls;         /* kernels so far */
    int refuse;        /* each call that computes fails */
    int no_algorithms; /* convolutions: none is offered that a program like ours may take */
    int slow_channels; /* convolutions to as many channels take milliseconds */
} emu_cudnn_now;

typedef enum {
    CUDNN_STATUS_SUCCESS,
    CUDNN_STATUS_BAD_PARAM,
    CUDNN_STATUS_NOT_SUPPORTED,
    CUDNN_STATUS_EXECUTION_FAILED
} cudnnStatus_t;
typedef enum { CUDNN_TENSOR_NCHW } cudnnTensorFormat_t;
typedef enum { CUDNN_DATA_FLOAT } cudnnDataType_t;
typedef enum { CUDNN_CONVOLUTION, CUDNN_CROSS_CORRELATION } cudnnConvolutionMode_t;
typedef enum { CUDNN_NON_DETERMINISTIC, CUDNN_DETERMINISTIC } cudnnDeterminism_t;
typedef enum {
    CUDNN_DEFAULT_MATH,
    CUDNN_TENSOR_OP_MATH,
    CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION,
    CUDNN_FMA_MATH
} cudnnMathType_t;
typedef int cudnnConvolutionFwdAlgo_t, cudnnConvolutionBwdDataAlgo_t,
    cudnnConvolutionBwdFilterAlgo_t;

typedef struct emu_cudnn *cudnnHandle_t;
typedef struct emu_tensor *cudnnTensorDescriptor_t;
typedef struct emu_filter *cudnnFilterDescriptor_t;
typedef struct emu_convolution *cudnnConvolutionDescriptor_t;
typedef struct emu_pooling *cudnnPoolingDescriptor_t;

typedef struct {
    int algo;
    cudnnStatus_t status;
    float time;
    size_t memory;
    cudnnDeterminism_t determinism;
    cudnnMathType_t mathType;
} cudnnConvolutionFwdAlgoPerf_t, cudnnConvolutionBwdDataAlgoPerf_t,
    cudnnConvolutionBwdFilterAlgoPerf_t;

#define EMU_CUDNN_DESCRIPTOR(kind)                                                \
    cudnnStatus_t cudnnCreate##kind##Descriptor(cudnn##kind##Descriptor_t *made); \
    cudnnStatus_t cudnnDestroy##kind##Descriptor(cudnn##kind##Descriptor_t old)
EMU_CUDNN_DESCRIPTOR(Tensor);
EMU_CUDNN_DESCRIPTOR(Filter);
EMU_CUDNN_DESCRIPTOR(Convolution);
EMU_CUDNN_DESCRIPTOR(Pooling);

size_t cudnnGetVersion(void);
const char *cudnnGetErrorString(cudnnStatus_t status);
cudnnStatus_t cudnnCreate(cudnnHandle_t *h);
cudnnStatus_t cudnnDestroy(cudnnHandle_t h);
cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t stream);

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t t, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w);
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t f, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w);
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t c, int pad_h, int pad_w,
                                              int u, int v, int dilation_h, int dilation_w,
                                              cudnnConvolutionMode_t mode, cudnnDataType_t type);
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t c, cudnnMathType_t math);

/* What the calls of each direction take, in their order; emu_cudnn_conv.cpp has them again. */
#define EMU_FORWARD                                                                       \
    cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w, cudnnConvolutionDescriptor_t c, \
        cudnnTensorDescriptor_t y
#define EMU_BACKWARD_DATA                                                                 \
    cudnnFilterDescriptor_t w, cudnnTensorDescriptor_t y, cudnnConvolutionDescriptor_t c, \
        cudnnTensorDescriptor_t x
#define EMU_BACKWARD_FILTER                                                               \
    cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t y, cudnnConvolutionDescriptor_t c, \
        cudnnFilterDescriptor_t w
#define EMU_RUN_FORWARD                                                             \
    cudnnHandle_t h, const void *alpha, cudnnTensorDescriptor_t x, const void *px,  \
        cudnnFilterDescriptor_t w, const void *pw, cudnnConvolutionDescriptor_t c,  \
        cudnnConvolutionFwdAlgo_t algo, void *work, size_t bytes, const void *beta, \
        cudnnTensorDescriptor_t y, void *py
#define EMU_RUN_BACKWARD_DATA                                                           \
    cudnnHandle_t h, const void *alpha, cudnnFilterDescriptor_t w, const void *pw,      \
        cudnnTensorDescriptor_t y, const void *py, cudnnConvolutionDescriptor_t c,      \
        cudnnConvolutionBwdDataAlgo_t algo, void *work, size_t bytes, const void *beta, \
        cudnnTensorDescriptor_t x, void *px
#define EMU_RUN_BACKWARD_FILTER                                                           \
    cudnnHandle_t h, const void *alpha, cudnnTensorDescriptor_t x, const void *px,        \
        cudnnTensorDescriptor_t y, const void *py, cudnnConvolutionDescriptor_t c,        \
        cudnnConvolutionBwdFilterAlgo_t algo, void *work, size_t bytes, const void *beta, \
        cudnnFilterDescriptor_t w, void *pw

#define EMU_CONVOLUTION(name, algo_type, operands, run)                                          \
    cudnnStatus_t cudnnGetConvolution##name##Algorithm_v7(cudnnHandle_t h, operands, int want,   \
                                                          int *count, algo_type##Perf_t *found); \
    cudnnStatus_t cudnnGetConvolution##name##WorkspaceSize(cudnnHandle_t h, operands,            \
                                                           algo_type##_t algo, size_t *bytes);   \
    cudnnStatus_t cudnnConvolution##name(run)
EMU_CONVOLUTION(Forward, cudnnConvolutionFwdAlgo, EMU_FORWARD, EMU_RUN_FORWARD);
EMU_CONVOLUTION(BackwardData, cudnnConvolutionBwdDataAlgo, EMU_BACKWARD_DATA,
                EMU_RUN_BACKWARD_DATA);
EMU_CONVOLUTION(BackwardFilter, cudnnConvolutionBwdFilterAlgo, EMU_BACKWARD_FILTER,
                EMU_RUN_BACKWARD_FILTER);

typedef enum {
    CUDNN_POOLING_MAX,
    CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING,
    CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING,
    CUDNN_POOLING_MAX_DETERMINISTIC
} cudnnPoolingMode_t;
typedef enum { CUDNN_NOT_PROPAGATE_NAN, CUDNN_PROPAGATE_NAN } cudnnNanPropagation_t;
typedef enum { CUDNN_BATCHNORM_PER_ACTIVATION, CUDNN_BATCHNORM_SPATIAL } cudnnBatchNormMode_t;
#define CUDNN_BN_MIN_EPSILON 0.0

cudnnStatus_t cudnnSetPooling2dDescriptor(cudnnPoolingDescriptor_t p, cudnnPoolingMode_t mode,
                                          cudnnNanPropagation_t nan, int window_h, int window_w,
                                          int pad_h, int pad_w, int stride_h, int stride_w);

/* As above: what emu_cudnn_layers.cpp has again. */
#define EMU_POOL_FORWARD                                                                       \
    cudnnHandle_t h, cudnnPoolingDescriptor_t p, const void *alpha, cudnnTensorDescriptor_t x, \
        const void *px, const void *beta, cudnnTensorDescriptor_t y, void *py
#define EMU_POOL_BACKWARD                                                                       \
    cudnnHandle_t h, cudnnPoolingDescriptor_t p, const void *alpha, cudnnTensorDescriptor_t y,  \
        const void *py, cudnnTensorDescriptor_t dy, const void *pdy, cudnnTensorDescriptor_t x, \
        const void *px, const void *beta, cudnnTensorDescriptor_t dx, void *pdx
#define EMU_NORM_TRAINING                                                               \
    cudnnHandle_t h, cudnnBatchNormMode_t mode, const void *alpha, const void *beta,    \
        cudnnTensorDescriptor_t x, const void *px, cudnnTensorDescriptor_t y, void *py, \
        cudnnTensorDescriptor_t of, const void *scale, const void *bias, double factor, \
        void *running_mean, void *running_var, double eps, void *saved_mean, void *saved_invstd
#define EMU_NORM_INFERENCE                                                                 \
    cudnnHandle_t h, cudnnBatchNormMode_t mode, const void *alpha, const void *beta,       \
        cudnnTensorDescriptor_t x, const void *px, cudnnTensorDescriptor_t y, void *py,    \
        cudnnTensorDescriptor_t of, const void *scale, const void *bias, const void *mean, \
        const void *var, double eps
#define EMU_NORM_BACKWARD                                                                     \
    cudnnHandle_t h, cudnnBatchNormMode_t mode, const void *alpha, const void *beta,          \
        const void *alpha_of, const void *beta_of, cudnnTensorDescriptor_t x, const void *px, \
        cudnnTensorDescriptor_t dy, const void *pdy, cudnnTensorDescriptor_t dx, void *pdx,   \
        cudnnTensorDescriptor_t of, const void *scale, void *dscale, void *dbias, double eps, \
        const void *saved_mean, const void *saved_invstd
cudnnStatus_t cudnnPoolingForward(EMU_POOL_FORWARD);
cudnnStatus_t cudnnPoolingBackward(EMU_POOL_BACKWARD);
cudnnStatus_t cudnnBatchNormalizationForwardTraining(EMU_NORM_TRAINING);
cudnnStatus_t cudnnBatchNormalizationForwardInference(EMU_NORM_INFERENCE);
cudnnStatus_t cudnnBatchNormalizationBackward(EMU_NORM_BACKWARD);

#ifdef __cplusplus
}
#endif
#endif
