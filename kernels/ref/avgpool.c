/* Adaptive average pool: bin i covers [floor(i h / oh), ceil((i + 1) h / oh)); bins may overlap. */
#include <string.h>

#include "kernels/ref/ref.h"

static int bin_start(int i, int in, int out)
{
    return (int)((int64_t)i * in / out);
}

static int bin_end(int i, int in, int out)
{
    return (int)((((int64_t)i + 1) * in + out - 1) / out);
}

void ref_avgpool_forward(struct device *d, float *out, const float *inp, int n, int c, int h, int w,
                         int oh, int ow)
{
    for (size_t image = 0; image < (size_t)n * c; image++) {
        for (int y = 0; y < oh; y++) {
            for (int x = 0; x < ow; x++) {
                int y0 = bin_start(y, h, oh), y1 = bin_end(y, h, oh);
                int x0 = bin_start(x, w, ow), x1 = bin_end(x, w, ow);
                double sum = 0;
                for (int iy = y0; iy < y1; iy++)
                    for (int ix = x0; ix < x1; ix++)
                        sum += inp[(image * h + iy) * w + ix];
                out[(image * oh + y) * ow + x] = (float)(sum / ((y1 - y0) * (x1 - x0)));
            }
        }
    }
}

void ref_avgpool_backward(struct device *d, float *dinp, const float *dout, int n, int c, int h,
                          int w, int oh, int ow, int add)
{
    for (size_t image = 0; image < (size_t)n * c; image++) {
        for (int iy = 0; iy < h; iy++) {
            for (int ix = 0; ix < w; ix++) {
                double sum = 0;
                for (int y = 0; y < oh; y++) {
                    int y0 = bin_start(y, h, oh), y1 = bin_end(y, h, oh);
                    if (iy < y0 || iy >= y1)
                        continue;
                    for (int x = 0; x < ow; x++) {
                        int x0 = bin_start(x, w, ow), x1 = bin_end(x, w, ow);
                        if (ix >= x0 && ix < x1)
                            sum +=
                                (double)dout[(image * oh + y) * ow + x] / ((y1 - y0) * (x1 - x0));
                    }
                }
                float *g = &dinp[(image * h + iy) * w + ix];
                *g = (float)(add ? *g + sum : sum);
            }
        }
    }
}
