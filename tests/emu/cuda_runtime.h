/*
 * CUDA's kernel language for g++: the words, types and device functions that our .cu files use, so
 * that MODE=emu runs them on the CPU. A block's threads take turns on one thread of the process
 * (emu_block.cpp): barriers, shuffles and votes hand over to the next, and one that not all reach
 * ends the process with a sentence. cuda_fp16.h and mma.h stand beside it. Not here: textures,
 * cooperative groups.
 */
#ifndef TESTS_EMU_CUDA_RUNTIME_H
#define TESTS_EMU_CUDA_RUNTIME_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __constant__ static
#define __align__(n) __attribute__((aligned(n)))

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned w = 1, unsigned h = 1, unsigned d = 1) : x(w), y(h), z(d)
    {
    }
};
struct uint3 {
    unsigned x, y, z;
};
struct __align__(8) float2
{
    float x, y;
};
struct __align__(16) float4
{
    float x, y, z, w;
};
struct __align__(8) int2
{
    int x, y;
};
struct __align__(16) int4
{
    int x, y, z, w;
};
struct __align__(16) uint4
{
    unsigned x, y, z, w;
};
struct __align__(8) ushort4
{
    unsigned short x, y, z, w;
};
struct __align__(4) uchar4
{
    unsigned char x, y, z, w;
};
struct __align__(8) uint2
{
    unsigned x, y;
};
static inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z,
                                   unsigned short w)
{
    return {x, y, z, w};
}
static inline uchar4 make_uchar4(unsigned char x, unsigned char y, unsigned char z, unsigned char w)
{
    return {x, y, z, w};
}
static inline float2 make_float2(float x, float y)
{
    return {x, y};
}
static inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

/*
 * Shared variables lie in a section of their own a source file (EMU_UNIT is its stem), which a
 * launch fills with NaNs before each block; ASan watches it by -fsanitize-sections.
 */
#define EMU_WORD_(x) #x
#define EMU_WORD(x) EMU_WORD_(x)
#define EMU_JOIN_(a, b) a##b
#define EMU_JOIN(a, b) EMU_JOIN_(a, b)
#define EMU_SHARED_BEGIN EMU_JOIN(__start_emu_shared_, EMU_UNIT)
#define EMU_SHARED_END EMU_JOIN(__stop_emu_shared_, EMU_UNIT)
extern "C" char EMU_SHARED_BEGIN[] __attribute__((weak));
extern "C" char EMU_SHARED_END[] __attribute__((weak));
#define __shared__ static __attribute__((section("emu_shared_" EMU_WORD(EMU_UNIT)), aligned(16)))

namespace emu
{
/* What the running thread of a kernel sees; threadIdx and its kin read it. */
struct where {
    uint3 thread, block;
    dim3 block_dim, grid_dim;
    unsigned char *dynamic_shared;
};
extern where now;

struct shape {
    dim3 grid, block;
    size_t dynamic_bytes;
    char *shared, *shared_end; /* the source file's shared variables */
};

/* check looks at the pointers among the arguments, thread runs the kernel for one thread; both hold
 * the arguments by value. */
struct call {
    const char *name;
    const void *function;
    std::function<bool()> check;
    std::function<void()> thread;
};

/* Queues the kernel, or refuses it as the driver would: see cudaPeekAtLastError. */
void launch(cudaStream_t stream, const shape &s, call c);

/* Whether a GPU could reach p: NULL, device memory or pinned host memory; else a line says which
 * argument of which kernel could not be. */
bool reachable(const char *kernel, int argument, const void *p);

template <class T> bool check_argument(const char *kernel, int i, T *p)
{
    return reachable(kernel, i, (const void *)p);
}
template <class T> bool check_argument(const char *, int, const T &)
{
    return true;
}

template <class... P, size_t... I>
void launch_held(cudaStream_t stream, const shape &s, const char *name, void (*kernel)(P...),
                 const std::tuple<P...> &held, std::index_sequence<I...>)
{
    auto check = [name, held] {
        bool right[] = {true, check_argument(name, (int)I, std::get<I>(held))...};
        return std::all_of(std::begin(right), std::end(right), [](bool b) { return b; });
    };
    auto thread = [kernel, held] { kernel(std::get<I>(held)...); };
    launch(stream, s, {name, (const void *)kernel, check, thread});
}

/* Arguments become the kernel's parameter types, as a call would make them. */
template <class... P, class... A>
void launch_kernel(cudaStream_t stream, const shape &s, const char *name, void (*kernel)(P...),
                   const A &...arguments)
{
    static_assert(sizeof...(P) == sizeof...(A), "as many arguments as the kernel has");
    static_assert(sizeof(std::tuple<P...>) <= 4096, "a kernel's arguments fit in 4 KiB");
    launch_held(stream, s, name, kernel, std::tuple<P...>(static_cast<P>(arguments)...),
                std::index_sequence_for<P...>());
}

void block_barrier();
int block_count(bool vote); /* a barrier too */

/* What a warp operation gathers: all lanes of mask meet, each with 64 bits. A lane that is not in
 * mask or has ended gives poison; ballot's lanes give nothing then. */
int lane();
uint64_t exchange(unsigned mask, uint64_t bits, int from_lane);
unsigned ballot(unsigned mask, bool vote);
void warp_barrier(unsigned mask);

template <class T> T shuffle(unsigned mask, T value, int from_lane)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(value));
    bits = exchange(mask, bits, from_lane);
    memcpy(&value, &bits, sizeof(value));
    return value;
}
} // namespace emu

#define LAUNCH(d, kernel, grid, block, shared, ...)                                                \
    do {                                                                                           \
        emu::launch_kernel(cuda_of(d)->stream,                                                     \
                           {(grid), (block), (shared), EMU_SHARED_BEGIN, EMU_SHARED_END}, #kernel, \
                           kernel, __VA_ARGS__);                                                   \
        cuda_note(d, cudaPeekAtLastError(), #kernel);                                              \
    } while (0)
#define DYNAMIC_SHARED(type, name) type *name = (type *)emu::now.dynamic_shared

#define CUDA_COMPILED_FOR emu::compiled_for()
namespace emu
{
int compiled_for();
}

#define threadIdx (emu::now.thread)
#define blockIdx (emu::now.block)
#define blockDim (emu::now.block_dim)
#define gridDim (emu::now.grid_dim)
static const int warpSize = 32;

static inline void __syncthreads()
{
    emu::block_barrier();
}
static inline int __syncthreads_count(int vote)
{
    return emu::block_count(vote != 0);
}
static inline int __syncthreads_or(int vote)
{
    return emu::block_count(vote != 0) != 0;
}
static inline int __syncthreads_and(int vote)
{
    return emu::block_count(vote == 0) == 0;
}
static inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    emu::warp_barrier(mask);
}
static inline void __threadfence()
{
}
static inline void __threadfence_block()
{
}

/* As CUDA's: width cuts the warp in segments, a source outside its segment is the lane itself. */
template <class T> T __shfl_sync(unsigned mask, T v, int from, int width = 32)
{
    int me = emu::lane();
    return emu::shuffle(mask, v, (me & ~(width - 1)) | (from & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32)
{
    int me = emu::lane(), from = me ^ bits;
    return emu::shuffle(mask, v, from / width > me / width ? me : from);
}
template <class T> T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32)
{
    int me = emu::lane();
    return emu::shuffle(mask, v, (me & (width - 1)) + (int)by < width ? me + (int)by : me);
}
template <class T> T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32)
{
    int me = emu::lane();
    return emu::shuffle(mask, v, (me & (width - 1)) - (int)by >= 0 ? me - (int)by : me);
}
static inline unsigned __ballot_sync(unsigned mask, int vote)
{
    return emu::ballot(mask, vote != 0);
}
static inline int __any_sync(unsigned mask, int vote)
{
    return emu::ballot(mask, vote != 0) != 0;
}
static inline int __all_sync(unsigned mask, int vote)
{
    return emu::ballot(mask, vote == 0) == 0;
}

/* Threads change over at barriers alone, so plain operations are atomic. */
template <class T, class V> T atomicAdd(T *p, V v)
{
    T old = *p;
    *p = old + (T)v;
    return old;
}
template <class T, class V> T atomicMax(T *p, V v)
{
    T old = *p;
    *p = std::max(old, (T)v);
    return old;
}
template <class T, class V> T atomicMin(T *p, V v)
{
    T old = *p;
    *p = std::min(old, (T)v);
    return old;
}
template <class T> T atomicExch(T *p, T v)
{
    T old = *p;
    *p = v;
    return old;
}
template <class T> T atomicCAS(T *p, T compare, T v)
{
    T old = *p;
    if (old == compare)
        *p = v;
    return old;
}

template <class T> T __ldg(const T *p)
{
    return *p;
}
static inline float __int_as_float(int i)
{
    float f;
    memcpy(&f, &i, sizeof(f));
    return f;
}
static inline int __float_as_int(float f)
{
    int i;
    memcpy(&i, &f, sizeof(i));
    return i;
}
static inline float __uint_as_float(unsigned i)
{
    return __int_as_float((int)i);
}
static inline unsigned __float_as_uint(float f)
{
    return (unsigned)__float_as_int(f);
}
static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
static inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}
/* Rounded once each and never contracted. MODE=emu compiles without contraction. */
static inline float __fmul_rn(float a, float b)
{
    return a * b;
}
static inline float __fadd_rn(float a, float b)
{
    return a + b;
}
static inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
static inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
#define __expf expf /* glibc has functions of these names */
#define __logf logf
static inline float __fdividef(float a, float b)
{
    return a / b;
}
static inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
using std::max;
using std::min;

#endif
