/*
 * What the CUDA kernels share. Every .cu file here is one stem of kernels/ref and kernels/cpu: its
 * kernels and their CUDA(...) entries, which table.c gathers. nvcc compiles them for GPUs; the
 * tests' build (MODE=emu) compiles the same files with g++ against tests/emu/cuda_runtime.h, which
 * runs a kernel's threads on the CPU. So: LAUNCH instead of <<<>>>, DYNAMIC_SHARED instead of
 * extern __shared__, and of CUDA C++ only what nvcc 11.4 knows (C++14).
 */
#ifndef KERNELS_CUDA_CUDA_H
#define KERNELS_CUDA_CUDA_H

#include <cuda_runtime.h>

#include "kernels/cuda/device_cuda.h"
#include "kernels/entries.h"

/*
 * LAUNCH(d, kernel, grid, block, bytes of dynamic shared memory, arguments...): queued on d's
 * stream, arguments by value. A template with commas stands in parentheses. tests/emu has its own.
 */
#ifdef __CUDACC__
#define LAUNCH(d, kernel, grid, block, shared, ...)                               \
    do {                                                                          \
        (kernel)<<<(grid), (block), (shared), cuda_of(d)->stream>>>(__VA_ARGS__); \
        cuda_note(d, cudaPeekAtLastError(), #kernel);                             \
    } while (0)
#define DYNAMIC_SHARED(type, name)                                   \
    extern __shared__ __align__(16) unsigned char dynamic_shared_[]; \
    type *name = (type *)dynamic_shared_
#endif

/* 10 * the compute capability that the code which runs was compiled for; tests/emu has its own. */
#ifdef __CUDA_ARCH__
#define CUDA_COMPILED_FOR (__CUDA_ARCH__ / 10)
#elif defined(__CUDACC__)
#define CUDA_COMPILED_FOR 0
#endif

#define CUDA(entry) cuda_##entry
#define CUDA_DECLARE(entry) extern "C" KERNEL_TYPE(entry) CUDA(entry);
KERNELS_EACH(CUDA_DECLARE)
#undef CUDA_DECLARE

enum { CUDA_BLOCK = 256 };

/* Blocks for a loop over n elements by CUDA_EACH: enough to fill the GPU, no more; n > 0. */
static inline unsigned cuda_blocks(struct device *d, size_t n)
{
    size_t blocks = (n + CUDA_BLOCK - 1) / CUDA_BLOCK, most = (size_t)cuda_of(d)->sm_count * 16;
    return (unsigned)(blocks < most ? blocks : most);
}

/* A kernel's loop over 0 .. n - 1, shared by all threads of its grid, and its launch. */
#define CUDA_EACH(i, n)                                            \
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x, \
                step_ = (size_t)gridDim.x * blockDim.x;            \
         i < (n); i += step_)
#define LAUNCH_EACH(d, kernel, n, ...)                                            \
    do {                                                                          \
        if ((n) > 0)                                                              \
            LAUNCH(d, kernel, cuda_blocks((d), (n)), CUDA_BLOCK, 0, __VA_ARGS__); \
    } while (0)

#endif
