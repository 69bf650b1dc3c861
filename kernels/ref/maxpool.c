/* Max-pool: windows clipped to the image; the first of equals wins, and the last NaN over all. */
#include <math.h>
#include <string.h>

#include "kernels/ref/ref.h"

static float window_max(const float *image, const struct pool_dims *s, int y0, int x0, uint8_t *arg)
{
    float best = -INFINITY;
    int at = -1;
    for (int y = 0; y < s->kh; y++) {
        for (int x = 0; x < s->kw; x++) {
            if (y0 + y < 0 || y0 + y >= s->h || x0 + x < 0 || x0 + x >= s->w)
                continue;
            float v = image[(size_t)(y0 + y) * s->w + x0 + x];
            if (at < 0 || v > best || isnan(v)) {
                best = v;
                at = y * s->kw + x;
            }
        }
    }
    *arg = (uint8_t)(at < 0 ? 0 : at);
    return best;
}

void ref_maxpool_forward(struct device *d, float *out, uint8_t *arg, const float *inp,
                         const struct pool_dims *s)
{
    size_t o = 0;
    for (size_t image = 0; image < (size_t)s->n * s->c; image++) {
        for (int y = 0; y < s->oh; y++) {
            for (int x = 0; x < s->ow; x++, o++) {
                uint8_t at;
                out[o] = window_max(inp + image * s->h * s->w, s, y * s->sh - s->ph,
                                    x * s->sw - s->pw, &at);
                if (arg)
                    arg[o] = at;
            }
        }
    }
}

void ref_maxpool_backward(struct device *d, float *dinp, const float *dout, const uint8_t *arg,
                          const struct pool_dims *s, int add)
{
    if (!add)
        memset(dinp, 0, (size_t)s->n * s->c * s->h * s->w * sizeof(*dinp));
    size_t o = 0;
    for (size_t image = 0; image < (size_t)s->n * s->c; image++) {
        for (int y = 0; y < s->oh; y++) {
            for (int x = 0; x < s->ow; x++, o++) {
                int iy = y * s->sh - s->ph + arg[o] / s->kw,
                    ix = x * s->sw - s->pw + arg[o] % s->kw;
                if (iy >= 0 && iy < s->h && ix >= 0 && ix < s->w)
                    dinp[(image * s->h + iy) * s->w + ix] += dout[o];
            }
        }
    }
}
