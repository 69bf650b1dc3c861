/*
 * Gradients of biases: x (images, rows, pixels) summed by row, always in the same order. A block
 * has ROWS rows and THREADS / ROWS threads for each; neighbouring threads read neighbours in
 * memory. Each element is read once.
 */
#include "kernels/cuda/gemm.h"

enum { THREADS = 256 };

/* ROWS 1: images of many pixels, all threads along a row's pixels. ROWS 32: matrices, pixels 1. */
template <int ROWS>
static __global__ void add_row_sums(float *sums, const float *x, int images, int rows, int pixels,
                                    struct divisor by_pixels, float scale)
{
    enum { LANES = THREADS / ROWS };
    __shared__ float part[LANES][ROWS];
    const int r = (int)threadIdx.x % ROWS, lane = (int)threadIdx.x / ROWS;
    const int row = (int)blockIdx.x * ROWS + r, count = images * pixels;
    float sum = 0;
    for (int e = lane; e < count && row < rows; e += LANES) {
        unsigned image = divide((unsigned)e, by_pixels);
        sum += x[((size_t)image * rows + row) * pixels + (e - (int)image * pixels)];
    }
    part[lane][r] = sum;
    __syncthreads();
    for (int half = LANES / 2; half > 0; half /= 2) {
        if (lane < half)
            part[lane][r] += part[lane + half][r];
        __syncthreads();
    }
    if (lane == 0 && row < rows)
        sums[row] += scale * part[0][r];
}

void gemm_add_row_sums(struct device *d, float *sums, const float *x, int images, int rows,
                       int pixels, float scale)
{
    struct divisor by = divisor_make((uint32_t)pixels);
    if (pixels == 1)
        LAUNCH(d, add_row_sums<32>, (unsigned)((rows + 31) / 32), THREADS, 0, sums, x, images, rows,
               pixels, by, scale);
    else
        LAUNCH(d, add_row_sums<1>, (unsigned)rows, THREADS, 0, sums, x, images, rows, pixels, by,
               scale);
}
