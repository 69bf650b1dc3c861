/*
 * A cuDNN for the emulated GPU: plain loops on one thread of it, its scratch spoilt, its first
 * algorithms not such as a deterministic program in plain float may take. It refuses what does not
 * fit together, as cuDNN does: shapes, an algorithm that it did not offer, too little scratch.
 */
#include "cudnn.h"

#include <string.h>

#include "cuda_runtime.h"
#include "kernels/kernels.h"

int emu_cudnn_calls;

struct emu_cudnn {
    cudaStream_t stream;
};
struct emu_tensor {
    int n, c, h, w;
};
struct emu_filter {
    int k, c, h, w;
};
struct emu_convolution {
    int ph, pw, sh, sw;
    cudnnMathType_t math;
};

enum { ALGORITHM = 7, SCRATCH = 4096 };

template <class T> static cudnnStatus_t create(T **p)
{
    *p = new T();
    return CUDNN_STATUS_SUCCESS;
}

template <class T> static cudnnStatus_t destroy(T *p)
{
    delete p;
    return CUDNN_STATUS_SUCCESS;
}

size_t cudnnGetVersion(void)
{
    return 90000;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    return status == CUDNN_STATUS_BAD_PARAM       ? "CUDNN_STATUS_BAD_PARAM"
           : status == CUDNN_STATUS_NOT_SUPPORTED ? "CUDNN_STATUS_NOT_SUPPORTED"
                                                  : "CUDNN_STATUS_SUCCESS";
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *h)
{
    return create(h);
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t h)
{
    return destroy(h);
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t stream)
{
    h->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *t)
{
    return create(t);
}

cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t t)
{
    return destroy(t);
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t t, cudnnTensorFormat_t,
                                         cudnnDataType_t, int n, int c, int h, int w)
{
    *t = {n, c, h, w};
    return n > 0 && c > 0 && h > 0 && w > 0 ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *f)
{
    return create(f);
}

cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t f)
{
    return destroy(f);
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t f, cudnnDataType_t,
                                         cudnnTensorFormat_t, int k, int c, int h, int w)
{
    *f = {k, c, h, w};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *c)
{
    return create(c);
}

cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t c)
{
    return destroy(c);
}

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t c, int pad_h, int pad_w,
                                              int u, int v, int dilation_h, int dilation_w,
                                              cudnnConvolutionMode_t mode, cudnnDataType_t)
{
    *c = {pad_h, pad_w, u, v, CUDNN_DEFAULT_MATH};
    return dilation_h == 1 && dilation_w == 1 && mode == CUDNN_CROSS_CORRELATION
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_NOT_SUPPORTED;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t c, cudnnMathType_t math)
{
    c->math = math;
    return CUDNN_STATUS_SUCCESS;
}

/* The dimensions, where all descriptors agree. */
static bool dims_of(struct conv2d_dims *s, const struct emu_tensor *x, const struct emu_filter *w,
                    const struct emu_convolution *c, const struct emu_tensor *y)
{
    *s = {x->n, x->c, x->h, x->w, w->k, w->h, w->w, c->sh, c->sw, c->ph, c->pw, y->h, y->w};
    return c->math == CUDNN_FMA_MATH && w->c == x->c && y->n == x->n && y->c == w->k &&
           y->h == (x->h + 2 * c->ph - w->h) / c->sh + 1 &&
           y->w == (x->w + 2 * c->pw - w->w) / c->sw + 1;
}

template <class P> static cudnnStatus_t offer(bool fits, int want, int *count, P *found)
{
    const P offered[] = {
        {1, CUDNN_STATUS_SUCCESS, 1, 0, CUDNN_NON_DETERMINISTIC, CUDNN_FMA_MATH},
        {2, CUDNN_STATUS_SUCCESS, 2, 0, CUDNN_DETERMINISTIC, CUDNN_TENSOR_OP_MATH},
        {3, CUDNN_STATUS_SUCCESS, 3, (size_t)8 << 30, CUDNN_DETERMINISTIC, CUDNN_FMA_MATH},
        {4, CUDNN_STATUS_NOT_SUPPORTED, -1, 0, CUDNN_DETERMINISTIC, CUDNN_FMA_MATH},
        {ALGORITHM, CUDNN_STATUS_SUCCESS, 4, SCRATCH, CUDNN_DETERMINISTIC, CUDNN_FMA_MATH},
    };
    *count = want < 5 ? want : 5;
    memcpy(found, offered, sizeof(P) * (size_t)*count);
    return fits ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                     cudnnFilterDescriptor_t w,
                                                     cudnnConvolutionDescriptor_t c,
                                                     cudnnTensorDescriptor_t y, int want,
                                                     int *count,
                                                     cudnnConvolutionFwdAlgoPerf_t *found)
{
    struct conv2d_dims s;
    return offer(dims_of(&s, x, w, c, y), want, count, found);
}

cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t, cudnnFilterDescriptor_t w,
                                                          cudnnTensorDescriptor_t dy,
                                                          cudnnConvolutionDescriptor_t c,
                                                          cudnnTensorDescriptor_t dx, int want,
                                                          int *count,
                                                          cudnnConvolutionBwdDataAlgoPerf_t *found)
{
    struct conv2d_dims s;
    return offer(dims_of(&s, dx, w, c, dy), want, count, found);
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    cudnnHandle_t, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t dy,
    cudnnConvolutionDescriptor_t c, cudnnFilterDescriptor_t dw, int want, int *count,
    cudnnConvolutionBwdFilterAlgoPerf_t *found)
{
    struct conv2d_dims s;
    return offer(dims_of(&s, x, dw, c, dy), want, count, found);
}

static cudnnStatus_t scratch(int algo, size_t *bytes)
{
    *bytes = SCRATCH;
    return algo == ALGORITHM ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t, cudnnTensorDescriptor_t,
                                                      cudnnFilterDescriptor_t,
                                                      cudnnConvolutionDescriptor_t,
                                                      cudnnTensorDescriptor_t,
                                                      cudnnConvolutionFwdAlgo_t algo, size_t *bytes)
{
    return scratch(algo, bytes);
}

cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(
    cudnnHandle_t, cudnnFilterDescriptor_t, cudnnTensorDescriptor_t, cudnnConvolutionDescriptor_t,
    cudnnTensorDescriptor_t, cudnnConvolutionBwdDataAlgo_t algo, size_t *bytes)
{
    return scratch(algo, bytes);
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t, cudnnTensorDescriptor_t, cudnnTensorDescriptor_t, cudnnConvolutionDescriptor_t,
    cudnnFilterDescriptor_t, cudnnConvolutionBwdFilterAlgo_t algo, size_t *bytes)
{
    return scratch(algo, bytes);
}

enum direction { FORWARD, BACKWARD_DATA, BACKWARD_FILTER };

/* All directions visit the same triples (inp, weight, out); `to` gathers, from set by beta. */
static void convolve(enum direction to, float alpha, float beta, float *inp, float *weight,
                     float *out, struct conv2d_dims s, unsigned char *work)
{
    size_t count = to == FORWARD         ? (size_t)s.n * s.k * s.oh * s.ow
                   : to == BACKWARD_DATA ? (size_t)s.n * s.c * s.h * s.w
                                         : (size_t)s.k * s.c * s.kh * s.kw;
    float *into = to == FORWARD ? out : to == BACKWARD_DATA ? inp : weight;
    memset(work, 0xff, SCRATCH);
    for (size_t e = 0; e < count; e++)
        into[e] = beta == 0 ? 0 : beta * into[e];
    for (int i = 0; i < s.n; i++)
        for (int k = 0; k < s.k; k++)
            for (int c = 0; c < s.c; c++)
                for (int o = 0; o < s.oh * s.ow; o++)
                    for (int r = 0; r < s.kh * s.kw; r++) {
                        int y = o / s.ow * s.sh + r / s.kw - s.ph;
                        int x = o % s.ow * s.sw + r % s.kw - s.pw;
                        if (y < 0 || y >= s.h || x < 0 || x >= s.w)
                            continue;
                        float *a = &inp[((i * s.c + c) * s.h + y) * s.w + x];
                        float *b = &weight[(k * s.c + c) * s.kh * s.kw + r];
                        float *z = &out[(i * s.k + k) * s.oh * s.ow + o];
                        if (to == FORWARD)
                            *z += alpha * *a * *b;
                        else if (to == BACKWARD_DATA)
                            *a += alpha * *z * *b;
                        else
                            *b += alpha * *z * *a;
                    }
}

static cudnnStatus_t run(cudnnHandle_t h, enum direction to, const void *alpha, const void *beta,
                         const struct emu_tensor *x, const void *px, const struct emu_filter *w,
                         const void *pw, const struct emu_tensor *y, const void *py,
                         const struct emu_convolution *c, int algo, void *work, size_t bytes)
{
    struct conv2d_dims s;
    if (!dims_of(&s, x, w, c, y) || algo != ALGORITHM || bytes < SCRATCH)
        return CUDNN_STATUS_BAD_PARAM;
    emu_cudnn_calls++;
    emu::launch_kernel(h->stream, {dim3(1), dim3(1), 0, NULL, NULL}, "cudnn", convolve, to,
                       *(const float *)alpha, *(const float *)beta, (float *)px, (float *)pw,
                       (float *)py, s, (unsigned char *)work);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t h, const void *alpha, cudnnTensorDescriptor_t x,
                                      const void *px, cudnnFilterDescriptor_t w, const void *pw,
                                      cudnnConvolutionDescriptor_t c,
                                      cudnnConvolutionFwdAlgo_t algo, void *work, size_t bytes,
                                      const void *beta, cudnnTensorDescriptor_t y, void *py)
{
    return run(h, FORWARD, alpha, beta, x, px, w, pw, y, py, c, algo, work, bytes);
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t h, const void *alpha,
                                           cudnnFilterDescriptor_t w, const void *pw,
                                           cudnnTensorDescriptor_t dy, const void *pdy,
                                           cudnnConvolutionDescriptor_t c,
                                           cudnnConvolutionBwdDataAlgo_t algo, void *work,
                                           size_t bytes, const void *beta,
                                           cudnnTensorDescriptor_t dx, void *pdx)
{
    return run(h, BACKWARD_DATA, alpha, beta, dx, pdx, w, pw, dy, pdy, c, algo, work, bytes);
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t h, const void *alpha,
                                             cudnnTensorDescriptor_t x, const void *px,
                                             cudnnTensorDescriptor_t dy, const void *pdy,
                                             cudnnConvolutionDescriptor_t c,
                                             cudnnConvolutionBwdFilterAlgo_t algo, void *work,
                                             size_t bytes, const void *beta,
                                             cudnnFilterDescriptor_t dw, void *pdw)
{
    return run(h, BACKWARD_FILTER, alpha, beta, x, px, dw, pdw, dy, pdy, c, algo, work, bytes);
}
