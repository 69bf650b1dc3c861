/* 2-D convolution as seven nested loops: forward and its two gradients. */
#include "kernels/ref/conv2d.h"

#include "kernels/ref/act.h"
#include "kernels/ref/ref.h"

static size_t weight_at(const struct conv2d_dims *s, int k, int c, int r, int q)
{
    return (((size_t)k * s->c + c) * s->kh + r) * s->kw + q;
}

static int inside(const struct conv2d_dims *s, int y, int x)
{
    return y >= 0 && y < s->h && x >= 0 && x < s->w;
}

void ref_conv2d_forward(struct device *d, float *out, const float *inp, const float *weight,
                        const float *bias, const struct conv2d_dims *s, enum act act, void *work)
{
    for (int i = 0; i < s->n; i++)
        for (int k = 0; k < s->k; k++)
            for (int oy = 0; oy < s->oh; oy++)
                for (int ox = 0; ox < s->ow; ox++) {
                    double sum = bias ? bias[k] : 0;
                    for (int c = 0; c < s->c; c++)
                        for (int r = 0; r < s->kh; r++)
                            for (int q = 0; q < s->kw; q++) {
                                int y = oy * s->sh + r - s->ph, x = ox * s->sw + q - s->pw;
                                if (inside(s, y, x))
                                    sum += (double)inp[inp_at(s, i, c, y, x)] *
                                           weight[weight_at(s, k, c, r, q)];
                            }
                    out[out_at(s, i, k, oy, ox)] = ref_act((float)sum, act);
                }
}

void ref_conv2d_backward_data(struct device *d, float *dinp, const float *dout, const float *weight,
                              const struct conv2d_dims *s, int add, void *work)
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
                                int oy = y + s->ph - r, ox = x + s->pw - q;
                                if (oy < 0 || oy % s->sh || oy / s->sh >= s->oh || ox < 0 ||
                                    ox % s->sw || ox / s->sw >= s->ow)
                                    continue;
                                sum += (double)dout[out_at(s, i, k, oy / s->sh, ox / s->sw)] *
                                       weight[weight_at(s, k, c, r, q)];
                            }
                    *to = (float)sum;
                }
}

/* The gradient of one element of the weight. */
static double weight_sum(const float *dout, const float *inp, const struct conv2d_dims *s, int k,
                         int c, int r, int q)
{
    double sum = 0;
    for (int i = 0; i < s->n; i++)
        for (int oy = 0; oy < s->oh; oy++)
            for (int ox = 0; ox < s->ow; ox++) {
                int y = oy * s->sh + r - s->ph, x = ox * s->sw + q - s->pw;
                if (inside(s, y, x))
                    sum += (double)dout[out_at(s, i, k, oy, ox)] * inp[inp_at(s, i, c, y, x)];
            }
    return sum;
}

void ref_conv2d_backward_weights(struct device *d, float *dweight, float *dbias, const float *dout,
                                 const float *inp, const struct conv2d_dims *s, float scale,
                                 void *work)
{
    for (int k = 0; k < s->k; k++)
        for (int c = 0; c < s->c; c++)
            for (int r = 0; r < s->kh; r++)
                for (int q = 0; q < s->kw; q++) {
                    float *to = &dweight[weight_at(s, k, c, r, q)];
                    *to = (float)(*to + scale * weight_sum(dout, inp, s, k, c, r, q));
                }
    if (dbias)
        bias_gradient(dbias, dout, s, scale);
}

size_t ref_conv2d_work(struct device *d, const struct conv2d_dims *s, int backward)
{
    return 0;
}
