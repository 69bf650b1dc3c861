/*
 * Images read as the windows that a kernel slides over them, in place: nothing is unfolded in
 * memory. Pixel j of a grid (images, grid_h, grid_w) has its window's corner at row * step_y +
 * from_y, column * step_x + from_x; element p of a window is (channel, row, column) of (channels,
 * rows, columns), towards higher coordinates, or lower ones (`mirror`), as backward wants it.
 * Outside its image a window is zero.
 */
#ifndef KERNELS_CUDA_GEMM_WINDOWS_H
#define KERNELS_CUDA_GEMM_WINDOWS_H

#include "kernels/cuda/gemm_load.h"

struct windows {
    const float *data; /* (images, channels, h, w) */
    int h, w;
    size_t image; /* elements of one */
    int pixels, elements;
    struct extent grid, grid_w; /* pixels of an image's grid, of its row */
    int step_y, step_x, from_y, from_x;
    struct extent area, columns; /* elements of a channel, of its row */
    int mirror;
};

/* No window reaches these coordinates, and sums with them do not overflow. */
enum { WINDOWS_NOWHERE = 1 << 29 };

static __device__ inline struct tap window_tap(const struct windows &s, int p)
{
    struct tap tap = {0, WINDOWS_NOWHERE, WINDOWS_NOWHERE, 0};
    if (p >= s.elements)
        return tap;
    int channel = (int)divide((unsigned)p, s.area.by), rest = p - channel * s.area.n;
    int y = (int)divide((unsigned)rest, s.columns.by), x = rest - y * s.columns.n;
    tap.y = s.mirror ? -y : y;
    tap.x = s.mirror ? -x : x;
    tap.offset = (channel * s.h + tap.y) * s.w + tap.x;
    return tap;
}

struct window {
    const float *image;
    int y, x, corner; /* of the window; the corner may lie before the image */

    __device__ void init(const struct windows &s, int j)
    {
        unsigned i = divide((unsigned)j, s.grid.by);
        int rest = j - (int)i * s.grid.n;
        int row = (int)divide((unsigned)rest, s.grid_w.by), column = rest - row * s.grid_w.n;
        image = s.data + i * s.image;
        y = row * s.step_y + s.from_y;
        x = column * s.step_x + s.from_x;
        corner = y * s.w + x;
        if (j >= s.pixels)
            y = -WINDOWS_NOWHERE;
    }

    __device__ float read(const struct windows &s, struct tap tap) const
    {
        if ((unsigned)(y + tap.y) < (unsigned)s.h && (unsigned)(x + tap.x) < (unsigned)s.w)
            return image[corner + tap.offset];
        return 0;
    }
};

/* B (element, pixel): forward and backward data. A thread keeps its pixel and reads four elements
 * of its window a step; neighbouring threads read neighbouring pixels. */
struct windows_operand {
    struct windows s;

    enum { SHARED_PER_STEP = 1, SHARED_PER_OUTER = 0 };
    enum { ALONG_DEPTH = 0 };

    template <int OUTER, int DEPTH, int THREADS> struct loader {
        enum { GROUPS = THREADS / OUTER, EACH = (DEPTH / 4 + GROUPS - 1) / GROUPS };
        static_assert(THREADS % OUTER == 0, "a thread has one pixel");
        float held[4 * EACH];
        struct window window;

        static __device__ void prepare(const windows_operand &o, int k0, int thread,
                                       struct tap *taps)
        {
            if (thread < DEPTH)
                taps[thread] = window_tap(o.s, k0 + thread);
        }

        __device__ void init(const windows_operand &o, int outer0, int thread, struct tap *)
        {
            window.init(o.s, outer0 + thread % OUTER);
        }

        __device__ void fetch(const windows_operand &o, int, int thread, const struct tap *taps)
        {
#pragma unroll
            for (int c = 0; c < EACH; c++) {
                int p = (thread / OUTER + c * GROUPS) * 4;
#pragma unroll
                for (int e = 0; e < 4; e++)
                    held[4 * c + e] = p < DEPTH ? window.read(o.s, taps[p + e]) : 0;
            }
        }

        template <class L>
        __device__ void store(typename L::element *shared, int thread, float lift) const
        {
#pragma unroll
            for (int c = 0; c < EACH; c++) {
                int p = (thread / OUTER + c * GROUPS) * 4;
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (p < DEPTH)
                        L::put(shared, thread % OUTER, p + e, held[4 * c + e], lift);
            }
        }
    };
};

/* B (pixel, element): backward weights, summed over the pixels. A thread has one pixel a step and
 * reads a few elements of its window; neighbouring threads read neighbouring pixels. */
struct windows_by_pixel_operand {
    struct windows s;

    enum { SHARED_PER_STEP = 0, SHARED_PER_OUTER = 1 };
    enum { ALONG_DEPTH = 1 };

    template <int OUTER, int DEPTH, int THREADS> struct loader {
        enum { EACH = OUTER * DEPTH / THREADS, APART = THREADS / DEPTH };
        static_assert(THREADS % DEPTH == 0 && OUTER * DEPTH % THREADS == 0, "whole columns");
        float held[EACH];

        static __device__ void prepare(const windows_by_pixel_operand &, int, int, struct tap *)
        {
        }

        __device__ void init(const windows_by_pixel_operand &o, int outer0, int thread,
                             struct tap *taps)
        {
            for (int i = thread; i < OUTER; i += THREADS)
                taps[i] = window_tap(o.s, outer0 + i);
        }

        __device__ void fetch(const windows_by_pixel_operand &o, int k0, int thread,
                              const struct tap *taps)
        {
            struct window window;
            window.init(o.s, k0 + thread % DEPTH);
#pragma unroll
            for (int c = 0; c < EACH; c++)
                held[c] = window.read(o.s, taps[thread / DEPTH + c * APART]);
        }

        template <class L>
        __device__ void store(typename L::element *shared, int thread, float lift) const
        {
#pragma unroll
            for (int c = 0; c < EACH; c++)
                L::put(shared, thread / DEPTH + c * APART, thread % DEPTH, held[c], lift);
        }
    };
};

#endif
