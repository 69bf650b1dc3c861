/*
 * The reference as tensor cores multiply: a table whose products round their operands to TF32 or to
 * half first, and then are the reference's. Rounding is written down a second time here, from its
 * definition. What is not an operand of a product (bias, what is added to) stays as it is, and
 * gradients of parameters' biases are sums, not products.
 */
#ifndef TESTS_ROUNDED_REFERENCE_H
#define TESTS_ROUNDED_REFERENCE_H

#include <stdbool.h>

#include "tests/check.h"

/* As kernels/cuda/gemm.h's GEMM_LIFT: gradients become halves times this. */
static const double ROUNDED_LIFT = 1024;

static struct device rounded_device; /* the reference's table and the rounding one */
static struct device *rounded_plain;
static struct kernels rounded_table;
static enum math rounded_math;

/* To nearest: TF32 halves away from zero, 11 bits in all; half to even, with an end at both sides.
 */
static inline double rounded_value(double v, enum math math)
{
    int exponent;
    if (v == 0 || !isfinite(v) || math == MATH_FP32)
        return v;
    frexp(v, &exponent);
    if (math == MATH_TF32)
        return ldexp(round(ldexp(v, 11 - exponent)), exponent - 11);
    if (exponent < -13)
        exponent = -13;
    v = ldexp(rint(ldexp(v, 11 - exponent)), exponent - 11);
    return fabs(v) > 65504 ? copysign(INFINITY, v) : v;
}

static inline float *rounded_copy(const float *x, size_t n, bool gradient)
{
    double lift = gradient && rounded_math == MATH_FP16 ? ROUNDED_LIFT : 1;
    float *y = malloc((n ? n : 1) * sizeof(*y));
    CHECK(y);
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(rounded_value(x[i] * lift, rounded_math) / lift);
    return y;
}

static inline void rounded_gemm(struct device *d, int ta, int tb, int m, int n, int k, float alpha,
                                const float *a, int lda, const float *b, int ldb, float *c, int ldc,
                                int add, void *work)
{
    float *x = rounded_copy(a, (size_t)(ta ? k : m) * (size_t)lda, false);
    float *y = rounded_copy(b, (size_t)(tb ? n : k) * (size_t)ldb, false);
    rounded_plain->kernels->gemm(rounded_plain, ta, tb, m, n, k, alpha, x, lda, y, ldb, c, ldc, add,
                                 work);
    free(x);
    free(y);
}

static inline void rounded_linear_forward(struct device *d, float *out, const float *inp,
                                          const float *weight, const float *bias, int n, int c,
                                          int k, enum act act, void *work)
{
    float *x = rounded_copy(inp, (size_t)n * (size_t)c, false);
    float *w = rounded_copy(weight, (size_t)k * (size_t)c, false);
    rounded_plain->kernels->linear_forward(rounded_plain, out, x, w, bias, n, c, k, act, work);
    free(x);
    free(w);
}

static inline void rounded_linear_backward_data(struct device *d, float *dinp, const float *dout,
                                                const float *weight, int n, int c, int k, int add,
                                                void *work)
{
    float *y = rounded_copy(dout, (size_t)n * (size_t)k, true);
    float *w = rounded_copy(weight, (size_t)k * (size_t)c, false);
    rounded_plain->kernels->linear_backward_data(rounded_plain, dinp, y, w, n, c, k, add, work);
    free(y);
    free(w);
}

/* The product's dweight, and dbias by a call that leaves its dweight behind. */
static inline void rounded_linear_backward_weights(struct device *d, float *dweight, float *dbias,
                                                   const float *dout, const float *inp, int n,
                                                   int c, int k, float scale, void *work)
{
    float *y = rounded_copy(dout, (size_t)n * (size_t)k, true);
    float *x = rounded_copy(inp, (size_t)n * (size_t)c, false);
    float *other = calloc((size_t)k * (size_t)c, sizeof(*other));
    CHECK(other);
    rounded_plain->kernels->linear_backward_weights(rounded_plain, dweight, NULL, y, x, n, c, k,
                                                    scale, work);
    if (dbias)
        rounded_plain->kernels->linear_backward_weights(rounded_plain, other, dbias, dout, inp, n,
                                                        c, k, scale, work);
    free(y);
    free(x);
    free(other);
}

static inline size_t rounded_inp(const struct conv2d_dims *s)
{
    return (size_t)s->n * (size_t)(s->c * s->h * s->w);
}

static inline size_t rounded_out(const struct conv2d_dims *s)
{
    return (size_t)s->n * (size_t)(s->k * s->oh * s->ow);
}

static inline size_t rounded_weight(const struct conv2d_dims *s)
{
    return (size_t)s->k * (size_t)(s->c * s->kh * s->kw);
}

#define ROUNDED_CONV(op)                                                                          \
    static inline void rounded_##op##_forward(                                                    \
        struct device *d, float *out, const float *inp, const float *weight, const float *bias,   \
        const struct conv2d_dims *s, enum act act, void *work)                                    \
    {                                                                                             \
        float *x = rounded_copy(inp, rounded_inp(s), false);                                      \
        float *w = rounded_copy(weight, rounded_weight(s), false);                                \
        rounded_plain->kernels->op##_forward(rounded_plain, out, x, w, bias, s, act, work);       \
        free(x);                                                                                  \
        free(w);                                                                                  \
    }                                                                                             \
    static inline void rounded_##op##_backward_data(                                              \
        struct device *d, float *dinp, const float *dout, const float *weight,                    \
        const struct conv2d_dims *s, int add, void *work)                                         \
    {                                                                                             \
        float *y = rounded_copy(dout, rounded_out(s), true);                                      \
        float *w = rounded_copy(weight, rounded_weight(s), false);                                \
        rounded_plain->kernels->op##_backward_data(rounded_plain, dinp, y, w, s, add, work);      \
        free(y);                                                                                  \
        free(w);                                                                                  \
    }                                                                                             \
    static inline void rounded_##op##_backward_weights(                                           \
        struct device *d, float *dweight, float *dbias, const float *dout, const float *inp,      \
        const struct conv2d_dims *s, float scale, void *work)                                     \
    {                                                                                             \
        float *y = rounded_copy(dout, rounded_out(s), true);                                      \
        float *x = rounded_copy(inp, rounded_inp(s), false);                                      \
        float *other = calloc(rounded_weight(s), sizeof(*other));                                 \
        CHECK(other);                                                                             \
        rounded_plain->kernels->op##_backward_weights(rounded_plain, dweight, NULL, y, x, s,      \
                                                      scale, work);                               \
        if (dbias)                                                                                \
            rounded_plain->kernels->op##_backward_weights(rounded_plain, other, dbias, dout, inp, \
                                                          s, scale, work);                        \
        free(y);                                                                                  \
        free(x);                                                                                  \
        free(other);                                                                              \
    }
ROUNDED_CONV(conv2d)
ROUNDED_CONV(conv_transpose2d)

static inline struct device *rounded_open(enum math math)
{
    rounded_plain = check_device("reference", 1);
    rounded_math = math;
    rounded_table = *rounded_plain->kernels;
    rounded_table.gemm = rounded_gemm;
    rounded_table.linear_forward = rounded_linear_forward;
    rounded_table.linear_backward_data = rounded_linear_backward_data;
    rounded_table.linear_backward_weights = rounded_linear_backward_weights;
    rounded_table.conv2d_forward = rounded_conv2d_forward;
    rounded_table.conv2d_backward_data = rounded_conv2d_backward_data;
    rounded_table.conv2d_backward_weights = rounded_conv2d_backward_weights;
    rounded_table.conv_transpose2d_forward = rounded_conv_transpose2d_forward;
    rounded_table.conv_transpose2d_backward_data = rounded_conv_transpose2d_backward_data;
    rounded_table.conv_transpose2d_backward_weights = rounded_conv_transpose2d_backward_weights;
    rounded_device = *rounded_plain;
    rounded_device.kernels = &rounded_table;
    return &rounded_device;
}

static inline void rounded_close(void)
{
    device_close(rounded_plain);
}

#endif
