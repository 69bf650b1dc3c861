/*
 * Inside the second way: the library's calls, a device's handle, and what is planned for each
 * shape. Only where cuDNN's header is. Calls are such that its versions 8 and 9 both have; their
 * status codes have other numbers and names, so a status is compared with success alone and told by
 * cuDNN's own text.
 */
#ifndef KERNELS_CUDA_CUDNN_PLAN_H
#define KERNELS_CUDA_CUDNN_PLAN_H

#include <cudnn.h>

#include "kernels/cuda/device_cuda.h"
#include "kernels/kernels.h"

#if CUDNN_MAJOR < 8
#error "cuDNN 8 or newer is wanted; without its header a build does without it"
#endif

#define CUDNN_EACH(X)                                 \
    X(cudnnCreate)                                    \
    X(cudnnDestroy)                                   \
    X(cudnnSetStream)                                 \
    X(cudnnGetVersion)                                \
    X(cudnnGetErrorString)                            \
    X(cudnnCreateTensorDescriptor)                    \
    X(cudnnDestroyTensorDescriptor)                   \
    X(cudnnSetTensor4dDescriptor)                     \
    X(cudnnCreateFilterDescriptor)                    \
    X(cudnnDestroyFilterDescriptor)                   \
    X(cudnnSetFilter4dDescriptor)                     \
    X(cudnnCreateConvolutionDescriptor)               \
    X(cudnnDestroyConvolutionDescriptor)              \
    X(cudnnSetConvolution2dDescriptor)                \
    X(cudnnSetConvolutionMathType)                    \
    X(cudnnGetConvolutionForwardAlgorithm_v7)         \
    X(cudnnGetConvolutionForwardWorkspaceSize)        \
    X(cudnnConvolutionForward)                        \
    X(cudnnGetConvolutionBackwardDataAlgorithm_v7)    \
    X(cudnnGetConvolutionBackwardDataWorkspaceSize)   \
    X(cudnnConvolutionBackwardData)                   \
    X(cudnnGetConvolutionBackwardFilterAlgorithm_v7)  \
    X(cudnnGetConvolutionBackwardFilterWorkspaceSize) \
    X(cudnnConvolutionBackwardFilter)                 \
    X(cudnnCreatePoolingDescriptor)                   \
    X(cudnnDestroyPoolingDescriptor)                  \
    X(cudnnSetPooling2dDescriptor)                    \
    X(cudnnPoolingForward)                            \
    X(cudnnPoolingBackward)                           \
    X(cudnnBatchNormalizationForwardTraining)         \
    X(cudnnBatchNormalizationForwardInference)        \
    X(cudnnBatchNormalizationBackward)

enum { TRIAL_ARRAYS = 8, CUDNN_KEY_BYTES = 160 };

struct batchnorm_dims {
    int n, c, hw;
    float eps;
};

union cudnn_dims {
    int all[16]; /* zero where a shape has no use for it: compared as a whole */
    struct conv2d_dims conv;
    struct pool_dims pool; /* of averages too */
    struct batchnorm_dims norm;
};

struct cudnn_plan;

/* What one direction of an operation is to the planner. */
struct cudnn_code {
    enum gpu_work work;
    /* Descriptors, algorithm, bytes of scratch: 1, or 0 where cuDNN has none that may be taken. */
    int (*describe)(struct device *d, struct cudnn_plan *p);
    /* The shape in words, the same for the same shape. */
    void (*tell)(const struct cudnn_plan *p, char text[CUDNN_KEY_BYTES]);
    /* For a measurement: the floats of each array, the bytes of the work area, and a call of the
     * table's own entry (or of what it is made of), which takes the way that p->through says. */
    void (*floats)(const struct cudnn_plan *p, size_t count[TRIAL_ARRAYS]);
    size_t (*work_bytes)(struct device *d, const struct cudnn_plan *p); /* NULL: none */
    void (*run)(struct device *d, const struct cudnn_plan *p, float *const array[], void *work);
};

struct cudnn_plan {
    const struct cudnn_code *code;
    union cudnn_dims dims;
    int through;                                /* 1: cuDNN computes it */
    cudnnTensorDescriptor_t inp, out, channels; /* channels: batch-norm's parameters */
    cudnnFilterDescriptor_t weight;
    cudnnConvolutionDescriptor_t conv;
    cudnnPoolingDescriptor_t pool;
    int algorithm;
    size_t bytes; /* of cuDNN's scratch */
    struct cudnn_plan *next;
};

struct cudnn {
#define MEMBER(name) __typeof__(name) *(name);
    CUDNN_EACH(MEMBER)
#undef MEMBER
    void *library;
    cudnnHandle_t handle; /* of the lane that is now */
    cudnnHandle_t lane[CUDA_LANES];
    struct choice_book *book; /* NULL: whatever cuDNN can do goes through it */
    struct cudnn_plan *plans;
    struct gpu_choices chosen[GPU_WORK_COUNT];
    int trying;       /* a measurement: what fails is no error of the device's */
    int tries_failed; /* in the measurement */
    char failed[160]; /* the call that failed last, or the one that the device keeps */
};

/* The plan for this shape, made where there is none yet; NULL: no memory, the device's error. */
struct cudnn_plan *cudnn_plan(struct device *d, const struct cudnn_code *code,
                              const union cudnn_dims *dims);

/* The plan where cuDNN computes this shape, else NULL. */
struct cudnn_plan *cudnn_planned(struct device *d, const struct cudnn_code *code,
                                 const union cudnn_dims *dims);

/* Measures p, which cuDNN can compute, both ways: 1 where cuDNN is the faster, else 0. ms: own,
 * cuDNN's, of a run; negative where it could not be measured, and then it is 0. */
int cudnn_measure(struct device *d, struct cudnn_plan *p, double ms[2]);

/* 1 where a call of the library succeeded, else 0, and c->failed says why. */
int cudnn_tried(struct device *d, cudnnStatus_t status, const char *call);
#define TRIED(d, call, ...) cudnn_tried(d, cuda_of(d)->cudnn->call(__VA_ARGS__), #call)

/* A call of a step: what fails is the device's error. */
void cudnn_must(struct device *d, cudnnStatus_t status, const char *call);
#define MUST(d, call, ...) cudnn_must(d, cuda_of(d)->cudnn->call(__VA_ARGS__), #call)

/* A new descriptor of float images, as kernels.h has them. */
int cudnn_images(struct device *d, cudnnTensorDescriptor_t *t, int n, int c, int h, int w);

#endif
