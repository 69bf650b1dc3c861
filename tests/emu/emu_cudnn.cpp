/*
 * A cuDNN for the emulated GPU: its library, handles and descriptors. It refuses what does not fit
 * together, as cuDNN does, and what no recording should hold.
 */
#include "emu_cudnn.h"

struct emu_cudnn_now emu_cudnn_now;

namespace emu
{
bool cudnn_may_plan()
{
    lock hold(mutex());
    bool captured = false;
    for (cudaStream_t s : all_streams())
        if (s->capture) {
            spoil(s);
            captured = true;
        }
    return !captured;
}

cudnnStatus_t cudnn_may_run(cudnnHandle_t h, cudnn_kernel kind)
{
    lock hold(mutex());
    emu_cudnn_now.calls++;
    if (emu_cudnn_now.refuse || (set().fail_cudnn && emu_cudnn_now.calls >= set().fail_cudnn))
        return CUDNN_STATUS_EXECUTION_FAILED;
    if (h->loaded.insert(kind).second && h->stream->capture) {
        spoil(h->stream);
        return CUDNN_STATUS_EXECUTION_FAILED;
    }
    return CUDNN_STATUS_SUCCESS;
}

template <class T> static cudnnStatus_t create(T **p)
{
    *p = cudnn_may_plan() ? new T() : NULL;
    return *p ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}

template <class T> static cudnnStatus_t destroy(T *p)
{
    delete p;
    return cudnn_may_plan() ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}
} // namespace emu

using namespace emu;

/* Who is linked with this file has the others too, whose calls are looked for by name alone. */
__attribute__((used)) static cudnnStatus_t (*const convolutions)(EMU_RUN_FORWARD) =
    cudnnConvolutionForward;
__attribute__((used)) static cudnnStatus_t (*const layers)(EMU_POOL_FORWARD) = cudnnPoolingForward;

const char *emu_cudnn_library(void)
{
    return set().cudnn ? NULL : "libcudnn.so.none";
}

size_t cudnnGetVersion(void)
{
    return (size_t)set().cudnn;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    static const char *const text[] = {"CUDNN_STATUS_SUCCESS", "CUDNN_STATUS_BAD_PARAM",
                                       "CUDNN_STATUS_NOT_SUPPORTED",
                                       "CUDNN_STATUS_EXECUTION_FAILED"};
    return text[status];
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
    if (h->stream != stream && !cudnn_may_plan())
        return CUDNN_STATUS_EXECUTION_FAILED;
    h->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

#undef EMU_CUDNN_DESCRIPTOR
#define EMU_CUDNN_DESCRIPTOR(kind)                                               \
    cudnnStatus_t cudnnCreate##kind##Descriptor(cudnn##kind##Descriptor_t *made) \
    {                                                                            \
        return create(made);                                                     \
    }                                                                            \
    cudnnStatus_t cudnnDestroy##kind##Descriptor(cudnn##kind##Descriptor_t old)  \
    {                                                                            \
        return destroy(old);                                                     \
    }
EMU_CUDNN_DESCRIPTOR(Tensor)
EMU_CUDNN_DESCRIPTOR(Filter)
EMU_CUDNN_DESCRIPTOR(Convolution)
EMU_CUDNN_DESCRIPTOR(Pooling)

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t t, cudnnTensorFormat_t,
                                         cudnnDataType_t, int n, int c, int h, int w)
{
    *t = {n, c, h, w};
    return n > 0 && c > 0 && h > 0 && w > 0 ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t f, cudnnDataType_t,
                                         cudnnTensorFormat_t, int k, int c, int h, int w)
{
    *f = {k, c, h, w};
    return CUDNN_STATUS_SUCCESS;
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
