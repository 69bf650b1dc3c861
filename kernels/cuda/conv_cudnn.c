/*
 * Convolutions through cuDNN, by calls that its versions 8 and 9 both have. Their status codes have
 * other numbers and names, so a status is compared with success alone and told by cuDNN's own text.
 */
#include "kernels/cuda/conv_cudnn.h"

#include <errno.h>

#include "base/err.h"

#if __has_include(<cudnn.h>)

#include <cudnn.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    X(cudnnConvolutionBackwardFilter)

enum {
    ALGORITHMS = 16,         /* more than any direction has */
    SCRATCH_MOST = 512 << 20 /* bytes; algorithms that want more are passed over */
};

enum direction { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS, DIRECTIONS };

struct conv_plan {
    struct conv2d_dims s;
    cudnnTensorDescriptor_t inp, out;
    cudnnFilterDescriptor_t weight;
    cudnnConvolutionDescriptor_t conv;
    int planned[DIRECTIONS];
    size_t bytes[DIRECTIONS];
    cudnnConvolutionFwdAlgo_t forward;
    cudnnConvolutionBwdDataAlgo_t backward_data;
    cudnnConvolutionBwdFilterAlgo_t backward_weights;
    struct conv_plan *next;
};

struct cudnn {
#define MEMBER(name) __typeof__(name) *name;
    CUDNN_EACH(MEMBER)
#undef MEMBER
    void *library;
    cudnnHandle_t handle;
    struct conv_plan *plans;
    char failed[160]; /* the first call that failed, as the device keeps it */
};

static void note(struct device *d, cudnnStatus_t status, const char *call)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    if (status == CUDNN_STATUS_SUCCESS || c->failed[0])
        return;
    snprintf(c->failed, sizeof(c->failed), "%s: %s", call, c->cudnnGetErrorString(status));
    cuda_note(d, cudaErrorUnknown, c->failed);
}

/* Runs a call of the struct cudnn *c in sight; true where it succeeded. */
#define TRIED(d, call, ...) try_call(d, c->call(__VA_ARGS__), #call)
static int try_call(struct device *d, cudnnStatus_t status, const char *call)
{
    note(d, status, call);
    return status == CUDNN_STATUS_SUCCESS;
}

/* The first of what cuDNN thinks fastest that gives the same bits each time, without tensor cores
 * and in little enough scratch; -1: none. */
#define FIRST_FIT(found, count, fit)                                              \
    do {                                                                          \
        for (fit = 0; fit < (count); fit++)                                       \
            if ((found)[fit].status == CUDNN_STATUS_SUCCESS &&                    \
                (found)[fit].determinism == CUDNN_DETERMINISTIC &&                \
                (found)[fit].mathType != CUDNN_TENSOR_OP_MATH &&                  \
                (found)[fit].mathType != CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION && \
                (found)[fit].memory <= SCRATCH_MOST)                              \
                break;                                                            \
        if (fit == (count))                                                       \
            fit = -1;                                                             \
    } while (0)

static int plan_forward(struct device *d, struct conv_plan *p)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    cudnnConvolutionFwdAlgoPerf_t found[ALGORITHMS];
    int count = 0, fit;
    if (!TRIED(d, cudnnGetConvolutionForwardAlgorithm_v7, c->handle, p->inp, p->weight, p->conv,
               p->out, ALGORITHMS, &count, found))
        return 0;
    FIRST_FIT(found, count, fit);
    if (fit < 0)
        return try_call(d, CUDNN_STATUS_NOT_SUPPORTED, "a deterministic forward convolution");
    p->forward = found[fit].algo;
    return TRIED(d, cudnnGetConvolutionForwardWorkspaceSize, c->handle, p->inp, p->weight, p->conv,
                 p->out, p->forward, &p->bytes[FORWARD]);
}

static int plan_backward_data(struct device *d, struct conv_plan *p)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    cudnnConvolutionBwdDataAlgoPerf_t found[ALGORITHMS];
    int count = 0, fit;
    if (!TRIED(d, cudnnGetConvolutionBackwardDataAlgorithm_v7, c->handle, p->weight, p->out,
               p->conv, p->inp, ALGORITHMS, &count, found))
        return 0;
    FIRST_FIT(found, count, fit);
    if (fit < 0)
        return try_call(d, CUDNN_STATUS_NOT_SUPPORTED, "a deterministic gradient of an input");
    p->backward_data = found[fit].algo;
    return TRIED(d, cudnnGetConvolutionBackwardDataWorkspaceSize, c->handle, p->weight, p->out,
                 p->conv, p->inp, p->backward_data, &p->bytes[BACKWARD_DATA]);
}

static int plan_backward_weights(struct device *d, struct conv_plan *p)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    cudnnConvolutionBwdFilterAlgoPerf_t found[ALGORITHMS];
    int count = 0, fit;
    if (!TRIED(d, cudnnGetConvolutionBackwardFilterAlgorithm_v7, c->handle, p->inp, p->out, p->conv,
               p->weight, ALGORITHMS, &count, found))
        return 0;
    FIRST_FIT(found, count, fit);
    if (fit < 0)
        return try_call(d, CUDNN_STATUS_NOT_SUPPORTED, "a deterministic gradient of weights");
    p->backward_weights = found[fit].algo;
    return TRIED(d, cudnnGetConvolutionBackwardFilterWorkspaceSize, c->handle, p->inp, p->out,
                 p->conv, p->weight, p->backward_weights, &p->bytes[BACKWARD_WEIGHTS]);
}

static int describe(struct device *d, struct conv_plan *p)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    const struct conv2d_dims *s = &p->s;
    return TRIED(d, cudnnCreateTensorDescriptor, &p->inp) &&
           TRIED(d, cudnnCreateTensorDescriptor, &p->out) &&
           TRIED(d, cudnnCreateFilterDescriptor, &p->weight) &&
           TRIED(d, cudnnCreateConvolutionDescriptor, &p->conv) &&
           TRIED(d, cudnnSetTensor4dDescriptor, p->inp, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, s->n,
                 s->c, s->h, s->w) &&
           TRIED(d, cudnnSetTensor4dDescriptor, p->out, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, s->n,
                 s->k, s->oh, s->ow) &&
           TRIED(d, cudnnSetFilter4dDescriptor, p->weight, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW,
                 s->k, s->c, s->kh, s->kw) &&
           TRIED(d, cudnnSetConvolution2dDescriptor, p->conv, s->ph, s->pw, s->sh, s->sw, 1, 1,
                 CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT) &&
           TRIED(d, cudnnSetConvolutionMathType, p->conv, CUDNN_FMA_MATH);
}

/* The plan for this shape and direction, made where there is none yet; NULL after a failure. */
static struct conv_plan *plan_of(struct device *d, const struct conv2d_dims *s, enum direction to)
{
    static int (*const plan_to[DIRECTIONS])(struct device *, struct conv_plan *) = {
        plan_forward, plan_backward_data, plan_backward_weights};
    struct cudnn *c = cuda_of(d)->cudnn;
    struct conv_plan *p = c->plans;
    while (p && memcmp(&p->s, s, sizeof(*s)) != 0)
        p = p->next;
    if (!p) {
        p = calloc(1, sizeof(*p));
        if (!p) {
            cuda_note(d, cudaErrorMemoryAllocation, "a plan of a convolution");
            return NULL;
        }
        p->s = *s;
        p->next = c->plans;
        c->plans = p;
        if (!describe(d, p))
            return NULL;
    }
    if (!p->planned[to] && !plan_to[to](d, p))
        return NULL;
    p->planned[to] = 1;
    return p;
}

static size_t work_of(struct device *d, const struct conv2d_dims *s, enum direction to)
{
    struct conv_plan *p = plan_of(d, s, to);
    return p ? p->bytes[to] : 0;
}

size_t conv_cudnn_forward_work(struct device *d, const struct conv2d_dims *s)
{
    return work_of(d, s, FORWARD);
}

size_t conv_cudnn_backward_data_work(struct device *d, const struct conv2d_dims *s)
{
    return work_of(d, s, BACKWARD_DATA);
}

size_t conv_cudnn_backward_weights_work(struct device *d, const struct conv2d_dims *s)
{
    return work_of(d, s, BACKWARD_WEIGHTS);
}

void conv_cudnn_forward(struct device *d, float *out, const float *inp, const float *weight,
                        const struct conv2d_dims *s, int add, void *work)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    struct conv_plan *p = plan_of(d, s, FORWARD);
    float one = 1, beta = add ? 1 : 0;
    if (p)
        note(d,
             c->cudnnConvolutionForward(c->handle, &one, p->inp, inp, p->weight, weight, p->conv,
                                        p->forward, work, p->bytes[FORWARD], &beta, p->out, out),
             "cudnnConvolutionForward");
}

void conv_cudnn_backward_data(struct device *d, float *dinp, const float *dout, const float *weight,
                              const struct conv2d_dims *s, int add, void *work)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    struct conv_plan *p = plan_of(d, s, BACKWARD_DATA);
    float one = 1, beta = add ? 1 : 0;
    if (p)
        note(d,
             c->cudnnConvolutionBackwardData(c->handle, &one, p->weight, weight, p->out, dout,
                                             p->conv, p->backward_data, work,
                                             p->bytes[BACKWARD_DATA], &beta, p->inp, dinp),
             "cudnnConvolutionBackwardData");
}

void conv_cudnn_backward_weights(struct device *d, float *dweight, const float *dout,
                                 const float *inp, const struct conv2d_dims *s, float scale,
                                 void *work)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    struct conv_plan *p = plan_of(d, s, BACKWARD_WEIGHTS);
    float one = 1;
    if (p)
        note(d,
             c->cudnnConvolutionBackwardFilter(
                 c->handle, &scale, p->inp, inp, p->out, dout, p->conv, p->backward_weights, work,
                 p->bytes[BACKWARD_WEIGHTS], &one, p->weight, dweight),
             "cudnnConvolutionBackwardFilter");
}

/* Only the version whose header this was built with numbers things alike. tests/emu has its own. */
#ifndef CUDNN_LIBRARY
#define CUDNN_WORD_(x) #x
#define CUDNN_WORD(x) CUDNN_WORD_(x)
#define CUDNN_LIBRARY "libcudnn.so." CUDNN_WORD(CUDNN_MAJOR)
#endif

const char *device_cuda_cudnn(void)
{
    return CUDNN_LIBRARY;
}

static int load(struct cudnn *c)
{
    c->library = dlopen(CUDNN_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!c->library)
        return err_set(ENOTSUP, "cuDNN: %s; install it, or leave --conv-algo cudnn out", dlerror());
#define LOAD(entry)                                                                          \
    c->entry = (__typeof__(entry) *)dlsym(c->library, #entry);                               \
    if (!c->entry)                                                                           \
        return err_set(ENOTSUP, "cuDNN: the library has no %s; leave --conv-algo cudnn out", \
                       #entry);
    CUDNN_EACH(LOAD)
#undef LOAD
    return 0;
}

int device_cuda_use_cudnn(struct device *d)
{
    struct cudnn *c = calloc(1, sizeof(*c));
    if (!c)
        return err_set(ENOMEM, "no memory for cuDNN");
    cuda_of(d)->cudnn = c;
    int ret = load(c);
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    if (ret == 0)
        status = c->cudnnCreate(&c->handle);
    if (ret == 0 && status == CUDNN_STATUS_SUCCESS)
        status = c->cudnnSetStream(c->handle, cuda_of(d)->stream);
    if (status != CUDNN_STATUS_SUCCESS)
        ret = err_set(ENOTSUP, "cuDNN %zu does not start: %s", c->cudnnGetVersion(),
                      c->cudnnGetErrorString(status));
    if (ret < 0)
        conv_cudnn_close(d);
    return ret;
}

void conv_cudnn_close(struct device *d)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    if (!c)
        return;
    while (c->plans) {
        struct conv_plan *p = c->plans;
        c->plans = p->next;
        if (p->conv)
            c->cudnnDestroyConvolutionDescriptor(p->conv);
        if (p->weight)
            c->cudnnDestroyFilterDescriptor(p->weight);
        if (p->out)
            c->cudnnDestroyTensorDescriptor(p->out);
        if (p->inp)
            c->cudnnDestroyTensorDescriptor(p->inp);
        free(p);
    }
    if (c->handle)
        c->cudnnDestroy(c->handle);
    if (c->library)
        dlclose(c->library);
    free(c);
    cuda_of(d)->cudnn = NULL;
}

#else

const char *device_cuda_cudnn(void)
{
    return NULL;
}

int device_cuda_use_cudnn(struct device *d)
{
    return err_set(ENOTSUP, "this program was built without cuDNN: build it where cudnn.h is, or "
                            "leave --conv-algo cudnn out");
}

void conv_cudnn_close(struct device *d)
{
}

/* Not reached: no device has a cuDNN. */
size_t conv_cudnn_forward_work(struct device *d, const struct conv2d_dims *s)
{
    CHECK(0);
    return 0;
}

size_t conv_cudnn_backward_data_work(struct device *d, const struct conv2d_dims *s)
{
    CHECK(0);
    return 0;
}

size_t conv_cudnn_backward_weights_work(struct device *d, const struct conv2d_dims *s)
{
    CHECK(0);
    return 0;
}

void conv_cudnn_forward(struct device *d, float *out, const float *inp, const float *weight,
                        const struct conv2d_dims *s, int add, void *work)
{
    CHECK(0);
}

void conv_cudnn_backward_data(struct device *d, float *dinp, const float *dout, const float *weight,
                              const struct conv2d_dims *s, int add, void *work)
{
    CHECK(0);
}

void conv_cudnn_backward_weights(struct device *d, float *dweight, const float *dout,
                                 const float *inp, const struct conv2d_dims *s, float scale,
                                 void *work)
{
    CHECK(0);
}

#endif
