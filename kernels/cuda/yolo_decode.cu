/*
 * A YOLO head as boxes. A head's numbers lie a plane a value, a box's values lie side by side: a
 * block turns a tile of 32 values of 32 cells in shared memory, so that reads and writes are
 * coalesced. 8 bytes a value.
 */
#include "kernels/cuda/act.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/divide.h"

enum { TILE = 32, TILE_ROWS = 8 };

struct heads {
    struct yolo_dims s;
    size_t out_stride;
    uint32_t row, plane, cell_tiles, row_tiles;
};

/* Value c of the box in column x and row y. */
static __device__ __forceinline__ float decode_value(float t, uint32_t c, uint32_t x, uint32_t y,
                                                     const float anchor[2],
                                                     const struct yolo_dims &s)
{
    switch (c) {
    case 0:
        return (cuda_act(t, ACT_SIGMOID) + (float)x) * s.stride_x;
    case 1:
        return (cuda_act(t, ACT_SIGMOID) + (float)y) * s.stride_y;
    case 2:
    case 3:
        return expf(t) * anchor[c - 2];
    default:
        return cuda_act(t, ACT_SIGMOID);
    }
}

/* A block a tile; blocks are TILE x TILE_ROWS threads. */
static __global__ void yolo_decode(float *out, const float *inp, struct heads p)
{
    __shared__ float tile[TILE][TILE + 1]; /* a column's elements in banks of their own */
    uint32_t tiles = p.cell_tiles * p.row_tiles, image = blockIdx.x / tiles;
    uint32_t within = blockIdx.x - image * tiles, at = within / p.cell_tiles;
    uint32_t row0 = at * TILE, cell0 = (within - at * p.cell_tiles) * TILE;
    uint32_t n = image / (uint32_t)p.s.anchors, a = image - n * (uint32_t)p.s.anchors;
    const float *in = inp + image * (size_t)p.row * p.plane;
    float *to = out + n * p.out_stride + a * (size_t)p.plane * p.row;

    uint32_t cell = cell0 + threadIdx.x, y = cell / (uint32_t)p.s.w;
    uint32_t x = cell - y * (uint32_t)p.s.w;
    for (uint32_t j = threadIdx.y; j < TILE; j += TILE_ROWS) {
        uint32_t c = row0 + j;
        if (c < p.row && cell < p.plane)
            tile[j][threadIdx.x] =
                decode_value(in[c * (size_t)p.plane + cell], c, x, y, p.s.anchor[a], p.s);
    }
    __syncthreads();
    for (uint32_t j = threadIdx.y; j < TILE; j += TILE_ROWS) {
        uint32_t c = row0 + threadIdx.x, box = cell0 + j;
        if (c < p.row && box < p.plane)
            to[box * (size_t)p.row + c] = tile[threadIdx.x][j];
    }
}

void CUDA(yolo_decode)(struct device *d, float *out, size_t out_stride, const float *inp,
                       const struct yolo_dims *s)
{
    struct heads p;
    p.s = *s;
    p.out_stride = out_stride;
    p.row = 5 + (uint32_t)s->classes;
    p.plane = (uint32_t)s->h * (uint32_t)s->w;
    p.cell_tiles = (p.plane + TILE - 1) / TILE;
    p.row_tiles = (p.row + TILE - 1) / TILE;
    unsigned blocks = p.cell_tiles * p.row_tiles * (uint32_t)s->anchors * (uint32_t)s->n;
    if (blocks)
        LAUNCH(d, yolo_decode, blocks, dim3(TILE, TILE_ROWS), 0, out, inp, p);
}
