/*
 * How batch-norm's kernels walk over (n, c, hw): blockIdx.y is a channel, the blocks of its
 * blockIdx.x share the channel's n * hw elements, and a thread takes four of them at a time: a
 * quad, where hw is a multiple of four and the arrays lie at 16 bytes, else four elements, each
 * beside its neighbours'. The number of blocks a channel depends on the sizes alone, never on the
 * GPU, so the sums' bits do not either.
 *
 *     for (struct channels s = channels_first(n, c, hw, quads); s.some; s = channels_next(s))
 *         LAUNCH(d, kernel<...>, dim3(s.blocks, s.some), s.threads, 0, ..., s);
 *
 *     CHANNEL_EACH(e, s) {                             // in the kernel, <bool QUADS>
 *         int m = channel_load<QUADS>(v, inp, s, k, e);    // v[0 .. m - 1]
 *         channel_store<QUADS>(out, v, s, k, e);
 *     }
 */
#ifndef KERNELS_CUDA_CHANNELS_H
#define KERNELS_CUDA_CHANNELS_H

#include "base/err.h"
#include "kernels/cuda/divide.h"
#include "kernels/cuda/quads.h"

enum {
    CHANNEL_BLOCKS = CUDA_BLOCK,    /* a channel, at most: a thread each adds up what they found */
    CHANNEL_SHARE = 8 * CUDA_BLOCK, /* elements that are worth a block */
    CHANNEL_FOUND = 4096            /* blocks a launch, where each leaves something behind */
};

struct channels {
    uint32_t count, width; /* n * hw and hw, in quads where there are */
    struct divisor by_width;
    uint32_t c;
    uint32_t blocks;      /* a channel */
    uint32_t threads;     /* a block: fewer than CUDA_BLOCK where a channel is small */
    uint32_t first, some; /* the channels of this launch; none: there are no more */
};

/* e: the quad, or the first of four elements that lie channel_step() apart. */
#define CHANNEL_EACH(e, s)                                                  \
    for (uint32_t e = blockIdx.x * blockDim.x + threadIdx.x; e < (s).count; \
         e += gridDim.x * blockDim.x * (QUADS ? 1 : 4))

static __device__ __forceinline__ uint32_t channel_step()
{
    return gridDim.x * blockDim.x;
}

/* Where element or quad e of channel k lies. */
static __device__ __forceinline__ size_t channel_at(const struct channels &s, uint32_t k,
                                                    uint32_t e)
{
    uint32_t b = divide(e, s.by_width);
    return ((size_t)b * s.c + k) * s.width + (e - b * s.width);
}

/* How many of the four there are, which come first; the others are 0. */
template <bool QUADS>
static __device__ __forceinline__ int channel_load(float v[4], const float *x,
                                                   const struct channels &s, uint32_t k, uint32_t e)
{
    if (QUADS) {
        float4 q = ((const float4 *)x)[channel_at(s, k, e)];
        v[0] = q.x;
        v[1] = q.y;
        v[2] = q.z;
        v[3] = q.w;
        return 4;
    } else {
        int m = 0;
        for (int j = 0; j < 4; j++) {
            uint32_t at = e + j * channel_step();
            int inside = at < s.count;
            v[j] = inside ? x[channel_at(s, k, at)] : 0.0f;
            m += inside;
        }
        return m;
    }
}

template <bool QUADS>
static __device__ __forceinline__ void channel_store(float *x, const float v[4],
                                                     const struct channels &s, uint32_t k,
                                                     uint32_t e)
{
    if (QUADS) {
        ((float4 *)x)[channel_at(s, k, e)] = make_float4(v[0], v[1], v[2], v[3]);
    } else {
        for (int j = 0; j < 4; j++) {
            uint32_t at = e + j * channel_step();
            if (at < s.count)
                x[channel_at(s, k, at)] = v[j];
        }
    }
}

/* Whether (n, c, hw) can be walked over in quads. */
static inline int channels_quads(int hw, const void *a, const void *b, const void *c = NULL)
{
    return hw % 4 == 0 && cuda_quads(4, a, b, c);
}

static inline struct channels channels_next(struct channels s)
{
    uint32_t most = CHANNEL_FOUND / s.blocks;
    s.first += s.some;
    s.some = s.c - s.first < most ? s.c - s.first : most;
    return s;
}

static inline struct channels channels_first(int n, int c, int hw, int quads)
{
    size_t count = (size_t)n * (size_t)hw, blocks = count / CHANNEL_SHARE;
    CHECK(count <= DIVIDE_MOST);
    if (blocks > CHANNEL_BLOCKS)
        blocks = CHANNEL_BLOCKS;
    if (blocks * (size_t)c > CHANNEL_FOUND)
        blocks = CHANNEL_FOUND / (size_t)c;
    struct channels s;
    s.count = (uint32_t)(quads ? count / 4 : count);
    s.width = (uint32_t)(quads ? hw / 4 : hw);
    s.by_width = divisor_make(s.width);
    s.c = count ? (uint32_t)c : 0;
    s.blocks = blocks > 0 ? (uint32_t)blocks : 1;
    s.threads = CUDA_BLOCK;
    if (count < 4 * CUDA_BLOCK)
        s.threads = (uint32_t)(count + 127) / 128 * 32; /* whole warps, four elements a thread */
    s.first = s.some = 0;
    return channels_next(s);
}

#endif
