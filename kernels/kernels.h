/*
 * All the arithmetic: one table a backend (reference, plain, AVX2, AVX-512, NEON; later CUDA). Raw
 * pointers and sizes, no tensors, so that a kernel is tested alone. Arguments: outputs, inputs,
 * sizes. All are (queued).
 *
 * Conventions, the same for every entry:
 *  - images are (n, c, h, w), row-major; sizes are in elements; counts are size_t.
 *  - `add`: 0 sets the output, 1 adds to it. Gradients of inputs obey it.
 *  - gradients of parameters always add, times `scale`: dweight += scale * gradient. With
 *    dweight = the weight itself and scale = -lr that is plain SGD with no gradient in memory.
 *  - `act` is applied last, as the activation layer would: fused or not, the bits are the same.
 *  - `work` is scratch of the bytes that the matching *_work entry returns, dead after the call,
 *    64-byte aligned. Those of layers' operations are enough for fewer samples too.
 *  - deterministic: an element's bits do not depend on the number of threads.
 *
 * A NULL entry is "this backend lacks it": refused by name when a model is planned, never
 * in a step.
 */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

enum act { ACT_NONE, ACT_RELU, ACT_LEAKY, ACT_SIGMOID, ACT_COUNT };

enum { ACT_LEAKY_PERCENT = 10 }; /* darknet's leaky ReLU has slope 0.1; no other is used */

/*
 * 2-D convolution: inp (n, c, h, w), weight (k, c, kh, kw), bias (k) or NULL, out (n, k, oh, ow);
 * oh = (h + 2 ph - kh) / sh + 1, ow alike. For the transposed convolution inp (n, c, h, w),
 * weight (c, k, kh, kw) as PyTorch stores it, oh = (h - 1) sh - 2 ph + kh.
 */
struct conv2d_dims {
    int n, c, h, w;
    int k, kh, kw;
    int sh, sw, ph, pw;
    int oh, ow;
};

/* Max-pool: windows of kh x kw at stride sh, sw; ph, pw rows and columns of minus infinity
 * before the image, and as many as needed after it. (n, c, h, w) -> (n, c, oh, ow).
 * kh * kw <= 256. */
struct pool_dims {
    int n, c, h, w;
    int kh, kw, sh, sw, ph, pw;
    int oh, ow;
};

/*
 * One head of a YOLO detector: a grid of h x w cells, in each a box for every anchor (Redmon,
 * Farhadi, "YOLOv3", 2018, section 2.1). stride: a cell's pixels; anchor: widths and heights of
 * boxes, in pixels.
 */
enum { YOLO_MAX_ANCHORS = 16 };
struct yolo_dims {
    int n, anchors, classes, h, w;
    float stride_x, stride_y;
    float anchor[YOLO_MAX_ANCHORS][2];
};

struct kernels {
    const char *name;

    /* c (m, n) with row stride ldc = or += alpha * op(a) (m, k) * op(b) (k, n); ta, tb: the
     * matrix is stored transposed. Strides are of the stored rows. */
    void (*gemm)(struct device *d, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                 int lda, const float *b, int ldb, float *c, int ldc, int add, void *work);
    size_t (*gemm_work)(struct device *d, int m, int n, int k);

    /* out (n, k) = act(inp (n, c) * weight (k, c)^T + bias (k)); bias may be NULL. */
    void (*linear_forward)(struct device *d, float *out, const float *inp, const float *weight,
                           const float *bias, int n, int c, int k, enum act act, void *work);
    void (*linear_backward_data)(struct device *d, float *dinp, const float *dout,
                                 const float *weight, int n, int c, int k, int add, void *work);
    void (*linear_backward_weights)(struct device *d, float *dweight, float *dbias,
                                    const float *dout, const float *inp, int n, int c, int k,
                                    float scale, void *work);
    size_t (*linear_work)(struct device *d, int n, int c, int k); /* the largest of the three */

    void (*conv2d_forward)(struct device *d, float *out, const float *inp, const float *weight,
                           const float *bias, const struct conv2d_dims *s, enum act act,
                           void *work);
    void (*conv2d_backward_data)(struct device *d, float *dinp, const float *dout,
                                 const float *weight, const struct conv2d_dims *s, int add,
                                 void *work);
    void (*conv2d_backward_weights)(struct device *d, float *dweight, float *dbias,
                                    const float *dout, const float *inp,
                                    const struct conv2d_dims *s, float scale, void *work);
    /* backward 0: forward alone */
    size_t (*conv2d_work)(struct device *d, const struct conv2d_dims *s, int backward);

    void (*conv_transpose2d_forward)(struct device *d, float *out, const float *inp,
                                     const float *weight, const float *bias,
                                     const struct conv2d_dims *s, enum act act, void *work);
    void (*conv_transpose2d_backward_data)(struct device *d, float *dinp, const float *dout,
                                           const float *weight, const struct conv2d_dims *s,
                                           int add, void *work);
    void (*conv_transpose2d_backward_weights)(struct device *d, float *dweight, float *dbias,
                                              const float *dout, const float *inp,
                                              const struct conv2d_dims *s, float scale, void *work);
    size_t (*conv_transpose2d_work)(struct device *d, const struct conv2d_dims *s, int backward);

    /*
     * Batch-norm over (n, c, hw). Training: uses the batch's mean and biased variance, stores mean
     * and 1/sqrt(var + eps) in saved_mean, saved_invstd (c), and moves the running statistics:
     * running = (1 - momentum) * running + momentum * batch, with the unbiased variance, as PyTorch
     * does. eval: uses the running statistics, then act.
     */
    void (*batchnorm_forward_train)(struct device *d, float *out, float *saved_mean,
                                    float *saved_invstd, float *running_mean, float *running_var,
                                    const float *inp, const float *weight, const float *bias, int n,
                                    int c, int hw, float momentum, float eps);
    void (*batchnorm_forward_eval)(struct device *d, float *out, const float *inp,
                                   const float *weight, const float *bias,
                                   const float *running_mean, const float *running_var, int n,
                                   int c, int hw, float eps, enum act act);
    /* The same as a convolution's own numbers: weight (k, window) *= factor by row, and bias (k),
     * which holds batch-norm's, -= mean * factor; factor = bn_weight / (sqrt(var + eps) +
     * root_eps). In place. */
    void (*batchnorm_fold)(struct device *d, float *weight, float *bias, const float *bn_weight,
                           const float *mean, const float *var, int k, int window, float eps,
                           float root_eps);
    /* Stores this batch's parameter gradients in saved_dweight, saved_dbias (c); the update adds
     * them with axpy. saved_mean, saved_invstd: forward's, of the same eps. */
    void (*batchnorm_backward_data)(struct device *d, float *dinp, float *saved_dweight,
                                    float *saved_dbias, const float *dout, const float *inp,
                                    const float *weight, const float *saved_mean,
                                    const float *saved_invstd, int n, int c, int hw, float eps,
                                    int add);

    /* Activations, elementwise; backward works from the output. May run in place (out == inp,
     * dinp == dout). */
    void (*act_forward)(struct device *d, float *out, const float *inp, size_t n, enum act act);
    void (*act_backward)(struct device *d, float *dinp, const float *dout, const float *out,
                         size_t n, enum act act, int add);

    /* arg (like out): where in its window the maximum was, kh-major; the first of equals, the
     * last NaN, as in PyTorch. NULL where no backward follows. */
    void (*maxpool_forward)(struct device *d, float *out, uint8_t *arg, const float *inp,
                            const struct pool_dims *s);
    void (*maxpool_backward)(struct device *d, float *dinp, const float *dout, const uint8_t *arg,
                             const struct pool_dims *s, int add);

    /* PyTorch's AdaptiveAvgPool2d: bin i covers [floor(i h / oh), ceil((i + 1) h / oh)). */
    void (*avgpool_forward)(struct device *d, float *out, const float *inp, int n, int c, int h,
                            int w, int oh, int ow);
    void (*avgpool_backward)(struct device *d, float *dinp, const float *dout, int n, int c, int h,
                             int w, int oh, int ow, int add);

    /* Nearest neighbour, integer factor: (n, c, h, w) -> (n, c, h f, w f). */
    void (*upsample_forward)(struct device *d, float *out, const float *inp, int n, int c, int h,
                             int w, int factor);
    void (*upsample_backward)(struct device *d, float *dinp, const float *dout, int n, int c, int h,
                              int w, int factor, int add);

    /* inp (n, anchors * (5 + classes), h, w) -> out (n, anchors * h * w, 5 + classes), samples
     * out_stride elements apart. A row is the box's middle, width and height in pixels, whether
     * there is an object, and of which class, as sigmoids: x = (sigmoid(tx) + column) * stride_x,
     * width = exp(tw) * anchor's width, y and height alike. */
    void (*yolo_decode)(struct device *d, float *out, size_t out_stride, const float *inp,
                        const struct yolo_dims *s);

    /* Element e is kept with probability 1 - p and scaled by 1 / (1 - p): kept if
     * rng_uniform(rng_word(key, first + e)) >= p. The mask is never stored: backward draws it
     * again. May run in place. */
    void (*dropout_forward)(struct device *d, float *out, const float *inp, size_t n, float p,
                            const struct rng *key, uint64_t first);
    void (*dropout_backward)(struct device *d, float *dinp, const float *dout, size_t n, float p,
                             const struct rng *key, uint64_t first, int add);

    /* loss (n): -log softmax(logits)[label]; dlogits (n, classes) = scale * (softmax - onehot),
     * NULL where not wanted. Labels were checked when they came in. */
    void (*softmax_xent)(struct device *d, float *loss, float *dlogits, const float *logits,
                         const int32_t *labels, int n, int classes, float scale);

    /* y += a x */
    void (*axpy)(struct device *d, float *y, const float *x, size_t n, float a);
    /* y = a x + b y */
    void (*axpby)(struct device *d, float *y, const float *x, size_t n, float a, float b);
    /* Rows of `row` elements between strides:
     * dst[r * dst_stride + i] = or += src[r * src_stride + i]. */
    void (*copy_rows)(struct device *d, float *dst, size_t dst_stride, const float *src,
                      size_t src_stride, size_t row, size_t rows, int add);

    /* Element i draws rng word first + i (uniform), or pairs of words by Box-Muller (normal). */
    void (*fill_uniform)(struct device *d, float *out, size_t n, const struct rng *key, float low,
                         float high);
    void (*fill_normal)(struct device *d, float *out, size_t n, const struct rng *key, float mean,
                        float stddev);
    void (*fill)(struct device *d, float *out, size_t n, float value);

    /* IEEE half precision, round to nearest even, overflow to infinity. */
    void (*f32_to_f16)(struct device *d, uint16_t *out, const float *inp, size_t n);
    void (*f16_to_f32)(struct device *d, float *out, const uint16_t *inp, size_t n);

    /* What will be called, for a device that settles something before the first step, as it does
     * for convolutions when their *_work is asked. train: in training. (optional: NULL where there
     * is nothing to settle) */
    void (*maxpool_plan)(struct device *d, const struct pool_dims *s, int train);
    void (*avgpool_plan)(struct device *d, int n, int c, int h, int w, int oh, int ow, int train);
    void (*batchnorm_plan)(struct device *d, int n, int c, int hw, float eps, int train);
};

#ifdef __cplusplus
}
#endif
#endif
