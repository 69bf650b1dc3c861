/* Nearest neighbour by an integer factor: each pixel becomes factor x factor of them. */
#include "kernels/ref/ref.h"

void ref_upsample_forward(struct device *d, float *out, const float *inp, int n, int c, int h,
                          int w, int factor)
{
    size_t ow = (size_t)w * factor;
    for (size_t row = 0; row < (size_t)n * c * h; row++)
        for (int y = 0; y < factor; y++)
            for (size_t x = 0; x < ow; x++)
                out[(row * factor + y) * ow + x] = inp[row * w + x / factor];
}

void ref_upsample_backward(struct device *d, float *dinp, const float *dout, int n, int c, int h,
                           int w, int factor, int add)
{
    size_t ow = (size_t)w * factor;
    for (size_t row = 0; row < (size_t)n * c * h; row++) {
        for (int x = 0; x < w; x++) {
            double sum = 0;
            for (int fy = 0; fy < factor; fy++)
                for (int fx = 0; fx < factor; fx++)
                    sum += dout[(row * factor + fy) * ow + (size_t)x * factor + fx];
            dinp[row * w + x] = (float)(add ? dinp[row * w + x] + sum : sum);
        }
    }
}
