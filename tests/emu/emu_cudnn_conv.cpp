/*
 * Convolutions of the emulated cuDNN: plain loops on one thread of the GPU, their scratch spoilt,
 * the first algorithms not such as a deterministic program in plain float may take.
 */
#include <string.h>
#include <unistd.h>

#include "emu_cudnn.h"
#include "kernels/kernels.h"

using namespace emu;

enum { ALGORITHM = 7, SCRATCH = 4096 };

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
    *count = emu_cudnn_now.no_algorithms ? 4 : 5;
    if (!cudnn_may_plan() || want < *count)
        return CUDNN_STATUS_EXECUTION_FAILED;
    memcpy(found, offered, sizeof(P) * (size_t)*count);
    return fits ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

static cudnnStatus_t scratch(int algo, size_t *bytes)
{
    *bytes = SCRATCH;
    return cudnn_may_plan() && algo == ALGORITHM ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

/* All directions visit the same triples (inp, weight, out); `to` gathers, from set by beta. */
static void convolve(cudnn_kernel to, float alpha, float beta, float *inp, float *weight,
                     float *out, struct conv2d_dims s, unsigned char *work)
{
    size_t count = to == CONVOLVE_FORWARD ? (size_t)s.n * s.k * s.oh * s.ow
                   : to == CONVOLVE_DATA  ? (size_t)s.n * s.c * s.h * s.w
                                          : (size_t)s.k * s.c * s.kh * s.kw;
    float *into = to == CONVOLVE_FORWARD ? out : to == CONVOLVE_DATA ? inp : weight;
    memset(work, 0xff, SCRATCH);
    if (s.k == emu_cudnn_now.slow_channels)
        usleep(30000);
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
                        if (to == CONVOLVE_FORWARD)
                            *z += alpha * *a * *b;
                        else if (to == CONVOLVE_DATA)
                            *a += alpha * *z * *b;
                        else
                            *b += alpha * *z * *a;
                    }
}

static cudnnStatus_t run(cudnnHandle_t h, cudnn_kernel to, const void *alpha, const void *beta,
                         const struct emu_tensor *x, const void *px, const struct emu_filter *w,
                         const void *pw, const struct emu_tensor *y, const void *py,
                         const struct emu_convolution *c, int algo, void *work, size_t bytes)
{
    struct conv2d_dims s;
    if (!dims_of(&s, x, w, c, y) || algo != ALGORITHM || bytes < SCRATCH)
        return CUDNN_STATUS_BAD_PARAM;
    return cudnn_run(h, to, convolve, to, *(const float *)alpha, *(const float *)beta, (float *)px,
                     (float *)pw, (float *)py, s, (unsigned char *)work);
}

#undef EMU_CONVOLUTION
#define EMU_CONVOLUTION(name, algo_type, operands, run_operands, kernel)                        \
    cudnnStatus_t cudnnGetConvolution##name##Algorithm_v7(cudnnHandle_t, operands, int want,    \
                                                          int *count, algo_type##Perf_t *found) \
    {                                                                                           \
        struct conv2d_dims s;                                                                   \
        return offer(dims_of(&s, x, w, c, y), want, count, found);                              \
    }                                                                                           \
    cudnnStatus_t cudnnGetConvolution##name##WorkspaceSize(cudnnHandle_t, operands,             \
                                                           algo_type##_t algo, size_t *bytes)   \
    {                                                                                           \
        struct conv2d_dims s;                                                                   \
        return dims_of(&s, x, w, c, y) ? scratch(algo, bytes) : CUDNN_STATUS_BAD_PARAM;         \
    }                                                                                           \
    cudnnStatus_t cudnnConvolution##name(run_operands)                                          \
    {                                                                                           \
        return run(h, kernel, alpha, beta, x, px, w, pw, y, py, c, algo, work, bytes);          \
    }
EMU_CONVOLUTION(Forward, cudnnConvolutionFwdAlgo, EMU_FORWARD, EMU_RUN_FORWARD, CONVOLVE_FORWARD)
EMU_CONVOLUTION(BackwardData, cudnnConvolutionBwdDataAlgo, EMU_BACKWARD_DATA, EMU_RUN_BACKWARD_DATA,
                CONVOLVE_DATA)
EMU_CONVOLUTION(BackwardFilter, cudnnConvolutionBwdFilterAlgo, EMU_BACKWARD_FILTER,
                EMU_RUN_BACKWARD_FILTER, CONVOLVE_FILTER)
