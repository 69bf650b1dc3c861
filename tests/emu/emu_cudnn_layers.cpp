/* Pools and batch-norm of the emulated cuDNN: plain loops, sums in double. */
#include <math.h>

#include "emu_cudnn.h"

using namespace emu;

static float blend(const float *was, float alpha, float beta, float v)
{
    return alpha * v + (beta == 0 ? 0 : beta * *was);
}

static bool same(const struct emu_tensor *a, const struct emu_tensor *b)
{
    return a->n == b->n && a->c == b->c && a->h == b->h && a->w == b->w;
}

cudnnStatus_t cudnnSetPooling2dDescriptor(cudnnPoolingDescriptor_t p, cudnnPoolingMode_t mode,
                                          cudnnNanPropagation_t nan, int window_h, int window_w,
                                          int pad_h, int pad_w, int stride_h, int stride_w)
{
    *p = {mode, window_h, window_w, pad_h, pad_w, stride_h, stride_w};
    return nan == CUDNN_PROPAGATE_NAN && pad_h < window_h && pad_w < window_w
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_NOT_SUPPORTED;
}

/* Its windows are the output's pixels, by its own formula. */
static bool pools(const struct emu_pooling *p, const struct emu_tensor *x,
                  const struct emu_tensor *y)
{
    return x->n == y->n && x->c == y->c && y->h == (x->h + 2 * p->ph - p->kh) / p->sh + 1 &&
           y->w == (x->w + 2 * p->pw - p->kw) / p->sw + 1;
}

struct window {
    int y0, y1, x0, x1;
};

static struct window window_of(const struct emu_pooling &p, const struct emu_tensor &x, int oy,
                               int ox)
{
    int y0 = oy * p.sh - p.ph, x0 = ox * p.sw - p.pw;
    return {max(y0, 0), min(y0 + p.kh, x.h), max(x0, 0), min(x0 + p.kw, x.w)};
}

static void pool_forward(struct emu_pooling p, struct emu_tensor x, const float *px,
                         struct emu_tensor y, float *py, float alpha, float beta)
{
    for (int i = 0; i < y.n * y.c; i++)
        for (int o = 0; o < y.h * y.w; o++) {
            struct window w = window_of(p, x, o / y.w, o % y.w);
            float best = -INFINITY;
            double sum = 0;
            for (int r = w.y0; r < w.y1; r++)
                for (int c = w.x0; c < w.x1; c++) {
                    float v = px[(i * x.h + r) * x.w + c];
                    best = v > best || v != v ? v : best;
                    sum += (double)v;
                }
            float *to = &py[i * y.h * y.w + o];
            float mean = (float)(sum / ((w.y1 - w.y0) * (w.x1 - w.x0)));
            *to = blend(to, alpha, beta, p.mode == CUDNN_POOLING_MAX_DETERMINISTIC ? best : mean);
        }
}

cudnnStatus_t cudnnPoolingForward(EMU_POOL_FORWARD)
{
    if (!pools(p, x, y) || p->mode == CUDNN_POOLING_MAX)
        return CUDNN_STATUS_BAD_PARAM;
    return cudnn_run(h, POOL_FORWARD, pool_forward, *p, *x, (const float *)px, *y, (float *)py,
                     *(const float *)alpha, *(const float *)beta);
}

static void average_backward(struct emu_pooling p, struct emu_tensor y, const float *pdy,
                             struct emu_tensor x, float *pdx, float alpha, float beta)
{
    for (int i = 0; i < x.n * x.c * x.h * x.w; i++)
        pdx[i] = blend(&pdx[i], alpha, beta, 0);
    for (int i = 0; i < y.n * y.c; i++)
        for (int o = 0; o < y.h * y.w; o++) {
            struct window w = window_of(p, x, o / y.w, o % y.w);
            float share = alpha * pdy[i * y.h * y.w + o] / (float)((w.y1 - w.y0) * (w.x1 - w.x0));
            for (int r = w.y0; r < w.y1; r++)
                for (int c = w.x0; c < w.x1; c++)
                    pdx[(i * x.h + r) * x.w + c] += share;
        }
}

/* Of averages alone: nobody asks for the others. */
cudnnStatus_t cudnnPoolingBackward(EMU_POOL_BACKWARD)
{
    if (!pools(p, x, y) || !same(y, dy) || !same(x, dx) || !py || !px ||
        p->mode != CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING)
        return CUDNN_STATUS_BAD_PARAM;
    return cudnn_run(h, POOL_BACKWARD, average_backward, *p, *dy, (const float *)pdy, *dx,
                     (float *)pdx, *(const float *)alpha, *(const float *)beta);
}

static bool norms(cudnnBatchNormMode_t mode, const struct emu_tensor *x, const struct emu_tensor *y,
                  const struct emu_tensor *of, double eps)
{
    return mode == CUDNN_BATCHNORM_SPATIAL && same(x, y) && of->n == 1 && of->c == x->c &&
           of->h == 1 && of->w == 1 && eps >= CUDNN_BN_MIN_EPSILON;
}

/* Element i of channel k. */
static size_t at(const struct emu_tensor &x, int k, int i)
{
    int hw = x.h * x.w;
    return (size_t)(i / hw * x.c + k) * (size_t)hw + (size_t)(i % hw);
}

struct norm {
    const float *scale, *bias;
    float *running_mean, *running_var, *saved_mean, *saved_invstd, *dscale, *dbias;
    double factor, eps;
    float alpha, beta;
};

static void norm_training(struct emu_tensor x, const float *px, float *py, struct norm t)
{
    int count = x.n * x.h * x.w;
    for (int k = 0; k < x.c; k++) {
        double mean = 0, var = 0;
        for (int i = 0; i < count; i++)
            mean += (double)px[at(x, k, i)] / count;
        for (int i = 0; i < count; i++)
            var += pow((double)px[at(x, k, i)] - mean, 2) / count;
        double invstd = 1 / sqrt(var + t.eps);
        for (int i = 0; i < count; i++) {
            float *to = &py[at(x, k, i)];
            double v = ((double)px[at(x, k, i)] - mean) * invstd * (double)t.scale[k];
            *to = blend(to, t.alpha, t.beta, (float)(v + (double)t.bias[k]));
        }
        t.saved_mean[k] = (float)mean;
        t.saved_invstd[k] = (float)invstd;
        t.running_mean[k] = (float)((1 - t.factor) * (double)t.running_mean[k] + t.factor * mean);
        t.running_var[k] = (float)((1 - t.factor) * (double)t.running_var[k] +
                                   t.factor * var * count / (count - 1));
    }
}

cudnnStatus_t cudnnBatchNormalizationForwardTraining(EMU_NORM_TRAINING)
{
    if (!norms(mode, x, y, of, eps) || x->n * x->h * x->w < 2)
        return CUDNN_STATUS_BAD_PARAM;
    struct norm t = {};
    t.scale = (const float *)scale;
    t.bias = (const float *)bias;
    t.running_mean = (float *)running_mean;
    t.running_var = (float *)running_var;
    t.saved_mean = (float *)saved_mean;
    t.saved_invstd = (float *)saved_invstd;
    t.factor = factor;
    t.eps = eps;
    t.alpha = *(const float *)alpha;
    t.beta = *(const float *)beta;
    return cudnn_run(h, NORM_TRAINING, norm_training, *x, (const float *)px, (float *)py, t);
}

static void norm_inference(struct emu_tensor x, const float *px, float *py, const float *scale,
                           const float *bias, const float *mean, const float *var, double eps,
                           float alpha, float beta)
{
    for (int k = 0; k < x.c; k++)
        for (int i = 0; i < x.n * x.h * x.w; i++) {
            float *to = &py[at(x, k, i)];
            double v = (double)(px[at(x, k, i)] - mean[k]) / sqrt((double)var[k] + eps);
            *to = blend(to, alpha, beta, (float)(v * (double)scale[k] + (double)bias[k]));
        }
}

cudnnStatus_t cudnnBatchNormalizationForwardInference(EMU_NORM_INFERENCE)
{
    if (!norms(mode, x, y, of, eps))
        return CUDNN_STATUS_BAD_PARAM;
    return cudnn_run(h, NORM_INFERENCE, norm_inference, *x, (const float *)px, (float *)py,
                     (const float *)scale, (const float *)bias, (const float *)mean,
                     (const float *)var, eps, *(const float *)alpha, *(const float *)beta);
}

static void norm_backward(struct emu_tensor x, const float *px, const float *pdy, float *pdx,
                          const float *mean, const float *invstd, struct norm t)
{
    int count = x.n * x.h * x.w;
    for (int k = 0; k < x.c; k++) {
        double dbias = 0, dscale = 0;
        for (int i = 0; i < count; i++) {
            dbias += (double)pdy[at(x, k, i)];
            dscale += (double)pdy[at(x, k, i)] * (double)((px[at(x, k, i)] - mean[k]) * invstd[k]);
        }
        for (int i = 0; i < count; i++) {
            double normal = (double)((px[at(x, k, i)] - mean[k]) * invstd[k]);
            double g = (double)pdy[at(x, k, i)] - dbias / count - normal * dscale / count;
            float *to = &pdx[at(x, k, i)];
            *to = blend(to, t.alpha, t.beta, (float)((double)(t.scale[k] * invstd[k]) * g));
        }
        t.dscale[k] = (float)dscale;
        t.dbias[k] = (float)dbias;
    }
}

cudnnStatus_t cudnnBatchNormalizationBackward(EMU_NORM_BACKWARD)
{
    if (!norms(mode, x, dx, of, eps) || !same(x, dy) || *(const float *)alpha_of != 1 ||
        *(const float *)beta_of != 0)
        return CUDNN_STATUS_BAD_PARAM;
    struct norm t = {};
    t.scale = (const float *)scale;
    t.dscale = (float *)dscale;
    t.dbias = (float *)dbias;
    t.alpha = *(const float *)alpha;
    t.beta = *(const float *)beta;
    return cudnn_run(h, NORM_BACKWARD, norm_backward, *x, (const float *)px, (const float *)pdy,
                     (float *)pdx, (const float *)saved_mean, (const float *)saved_invstd, t);
}
