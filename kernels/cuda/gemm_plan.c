/* The choice of a tile and of a split, by a small model of the time that blocks take. */
#include "kernels/cuda/gemm_plan.h"

#include <math.h>

#include "kernels/cuda/device_cuda.h"

/*
 * What the model knows of a tile: blocks a processor holds, and how many multiply-adds it does a
 * cycle when it holds that many. In float, of 128 (64 up to sm_75), the part that reads of shared
 * memory leave: 64 FMA for four 16-byte reads, 32 for three, 16 for two. By tensor cores shared
 * memory is what counts: three quarters of what is left when a warp reads for 64 x 32, 32 x 32 or
 * 32 x 16 sums at 128 bytes a cycle, and each operand is stored as words. Estimates, not yet
 * measured on a GPU.
 */
static const struct {
    int bm, bn, blocks;
    double rate[MATH_COUNT];
} tiles[TILE_COUNT] = {{128, 128, 2, {0.9 * 128, 385, 615}},
                       {64, 64, 4, {0.75 * 128, 255, 385}},
                       {128, 16, 4, {0.45 * 128, 145, 205}}};

enum {
    PART_STEP = 16,   /* the deepest step of a tile */
    PART_LEAST = 128, /* of a part; less is not worth its sums */
    PARTS_MOST = 256,
    FLOATS = 4,           /* that a processor reads a cycle, its share of the memory's bandwidth */
    LAUNCH_CYCLES = 3000, /* between two kernels of a queue */
    SUM_CYCLES = 60       /* a part, of a thread that sums an element's */
};

static double cycles(enum gemm_tile_kind kind, enum math math, int processors, int m, int n,
                     int depth, int splits)
{
    int down = (m + tiles[kind].bm - 1) / tiles[kind].bm;
    int across = (n + tiles[kind].bn - 1) / tiles[kind].bn;
    double blocks = (double)down * across * splits;
    double part = (double)depth / splits + PART_STEP; /* the first step is waited for */
    double one = tiles[kind].bm * tiles[kind].bn * part / tiles[kind].rate[math];
    double each = ceil(blocks / processors); /* of the busiest processor */
    if (each < tiles[kind].blocks * 0.6)     /* too few blocks do not fill it */
        each = tiles[kind].blocks * 0.6;
    double time = each * one;
    if (splits > 1)
        time += LAUNCH_CYCLES + SUM_CYCLES * splits +
                2.0 * splits * m * n / ((double)FLOATS * processors);
    return time;
}

struct gemm_plan gemm_plan_of(struct device *d, int m, int n, int depth)
{
    struct gemm_plan plan = {TILE_64x64, 1, depth, 0};
    int processors = cuda_of(d)->sm_count, most = depth / PART_LEAST;
    double best = -1;
    if (most > PARTS_MOST)
        most = PARTS_MOST;
    for (int kind = 0; kind < TILE_COUNT; kind++)
        for (int splits = 1; splits == 1 || splits <= most; splits += splits < 4 ? 1 : splits / 2) {
            double time = cycles((enum gemm_tile_kind)kind, cuda_of(d)->math, processors, m, n,
                                 depth, splits);
            if (best >= 0 && time >= best)
                continue;
            best = time;
            plan.tile = (enum gemm_tile_kind)kind;
            plan.splits = splits;
        }
    if (plan.splits > 1) {
        plan.part = (depth + plan.splits - 1) / plan.splits;
        plan.part = (plan.part + PART_STEP - 1) / PART_STEP * PART_STEP;
        plan.splits = (depth + plan.part - 1) / plan.part; /* rounded up, fewer may do */
        plan.bytes = (size_t)plan.splits * (size_t)m * (size_t)n * sizeof(float);
    }
    return plan;
}
