/*
 * Transposed convolution from its own definition, not by way of the convolution: input pixel (y, x)
 * is spread over output (y sh - ph + r, x sw - pw + q). Written as a gather, so that sums are in
 * double.
 */
#include "kernels/ref/act.h"
#include "kernels/ref/conv2d.h"
#include "kernels/ref/ref.h"

static size_t weight_at(const struct conv2d_dims *s, int c, int k, int r, int q)
{
    return (((size_t)c * s->k + k) * s->kh + r) * s->kw + q;
}

/* Where input (y, x) reaches through kernel element (r, q); 0 where that is outside. */
static int reaches(const struct conv2d_dims *s, int y, int x, int r, int q, int *oy, int *ox)
{
    *oy = y * s->sh - s->ph + r;
    *ox = x * s->sw - s->pw + q;
    return *oy >= 0 && *oy < s->oh && *ox >= 0 && *ox < s->ow;
}

/* The sum that reaches output (oy, ox) of image i, channel k. */
static double out_sum(const float *inp, const float *weight, const struct conv2d_dims *s, int i,
                      int k, int oy, int ox)
{
    double sum = 0;
    for (int y = 0; y < s->h; y++)
        for (int x = 0; x < s->w; x++) {
            int r = oy + s->ph - y * s->sh, q = ox + s->pw - x * s->sw;
            if (r < 0 || r >= s->kh || q < 0 || q >= s->kw)
                continue;
            for (int c = 0; c < s->c; c++)
                sum += (double)inp[inp_at(s, i, c, y, x)] * weight[weight_at(s, c, k, r, q)];
        }
    return sum;
}

void ref_conv_transpose2d_forward(struct device *d, float *out, const float *inp,
                                  const float *weight, const float *bias,
                                  const struct conv2d_dims *s, enum act act, void *work)
{
    for (int i = 0; i < s->n; i++)
        for (int k = 0; k < s->k; k++)
            for (int oy = 0; oy < s->oh; oy++)
                for (int ox = 0; ox < s->ow; ox++) {
                    double sum = out_sum(inp, weight, s, i, k, oy, ox) + (bias ? bias[k] : 0);
                    out[out_at(s, i, k, oy, ox)] = ref_act((float)sum, act);
                }
}

void ref_conv_transpose2d_backward_data(struct device *d, float *dinp, const float *dout,
                                        const float *weight, const struct conv2d_dims *s, int add,
                                        void *work)
{
    for (int i = 0; i < s->n; i++)
        for (int c = 0; c < s->c; c++)
            for (int y = 0; y < s->h; y++)
                for (int x = 0; x < s->w; x++) {
                    float *to = &dinp[inp_at(s, i, c, y, x)];
                    double sum = add ? *to : 0;
                    for (int k = 0; k < s->k; k++)
                        for (int r = 0; r < s->kh; r++)
                            for (int q = 0; q < s->kw; q++) {
                                int oy, ox;
                                if (reaches(s, y, x, r, q, &oy, &ox))
                                    sum += (double)dout[out_at(s, i, k, oy, ox)] *
                                           weight[weight_at(s, c, k, r, q)];
                            }
                    *to = (float)sum;
                }
}

static double weight_sum(const float *dout, const float *inp, const struct conv2d_dims *s, int c,
                         int k, int r, int q)
{
    double sum = 0;
    for (int i = 0; i < s->n; i++)
        for (int y = 0; y < s->h; y++)
            for (int x = 0; x < s->w; x++) {
                int oy, ox;
                if (reaches(s, y, x, r, q, &oy, &ox))
                    sum += (double)inp[inp_at(s, i, c, y, x)] * dout[out_at(s, i, k, oy, ox)];
            }
    return sum;
}

void ref_conv_transpose2d_backward_weights(struct device *d, float *dweight, float *dbias,
                                           const float *dout, const float *inp,
                                           const struct conv2d_dims *s, float scale, void *work)
{
    for (int c = 0; c < s->c; c++)
        for (int k = 0; k < s->k; k++)
            for (int r = 0; r < s->kh; r++)
                for (int q = 0; q < s->kw; q++) {
                    float *to = &dweight[weight_at(s, c, k, r, q)];
                    *to = (float)(*to + scale * weight_sum(dout, inp, s, c, k, r, q));
                }
    if (dbias)
        bias_gradient(dbias, dout, s, scale);
}

size_t ref_conv_transpose2d_work(struct device *d, const struct conv2d_dims *s, int backward)
{
    return 0;
}
