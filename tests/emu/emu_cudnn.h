/* What the files of the emulated cuDNN share. */
#ifndef TESTS_EMU_EMU_CUDNN_H
#define TESTS_EMU_EMU_CUDNN_H

#include <set>

#include "cudnn.h"
#include "emu_stream.h"

struct emu_cudnn {
    cudaStream_t stream;
    std::set<int> loaded; /* kinds of kernels that ran before */
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

struct emu_pooling {
    cudnnPoolingMode_t mode;
    int kh, kw, ph, pw, sh, sw;
};

namespace emu
{
enum cudnn_kernel {
    CONVOLVE_FORWARD,
    CONVOLVE_DATA,
    CONVOLVE_FILTER,
    POOL_FORWARD,
    POOL_BACKWARD,
    NORM_TRAINING,
    NORM_INFERENCE,
    NORM_BACKWARD
};

/* A call that makes or asks for something, which no step does: refused while any stream is
 * captured, and the capture is spoilt. */
bool cudnn_may_plan();

/* Whether a kernel of this kind may be queued on h's stream. The first of its kind is loaded, which
 * cannot be captured. */
cudnnStatus_t cudnn_may_run(cudnnHandle_t h, cudnn_kernel kind);

/* Queues a kernel of one thread. */
template <class... P, class... A>
cudnnStatus_t cudnn_run(cudnnHandle_t h, cudnn_kernel kind, void (*kernel)(P...), A... args)
{
    cudnnStatus_t may = cudnn_may_run(h, kind);
    if (may == CUDNN_STATUS_SUCCESS)
        launch_kernel(h->stream, {dim3(1), dim3(1), 0, NULL, NULL}, "cudnn", kernel, args...);
    return may;
}
} // namespace emu

#endif
