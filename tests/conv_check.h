/*
 * What the tests of the convolution and of the transposed one share: random data of a convolution's
 * shape, its three operations through either half of the table, and their comparison.
 */
#ifndef TESTS_CONV_CHECK_H
#define TESTS_CONV_CHECK_H

#include <stdio.h>

#include "tests/check.h"

/*
 * As gemm's: sums of up to 3000 products in float come to 1e-13. Where Winograd's algorithm may be
 * taken, its transforms (factors from 1/24 to 8) make that 2e-12, for weight gradients 9e-12.
 */
static inline double conv_limit(const struct conv2d_dims *s)
{
    return s->kh == 3 && s->kw == 3 && s->sh == 1 && s->sw == 1 && s->c >= 8 && s->k >= 8 ? 3e-11
                                                                                          : 1e-12;
}

struct conv_case {
    int n, c, h, w, k, kh, kw, sh, sw, ph, pw;
};

struct conv_data {
    struct conv2d_dims dims;
    double limit; /* of an NMSE */
    int transposed;
    size_t n_inp, n_out, n_weight, n_bias;
    float *inp, *out, *weight, *bias; /* out doubles as the gradient of the output */
};

static inline struct conv_data conv_data_new(struct conv_case s, int transposed)
{
    struct conv_data x = {.transposed = transposed};
    x.dims =
        (struct conv2d_dims){s.n, s.c, s.h, s.w, s.k, s.kh, s.kw, s.sh, s.sw, s.ph, s.pw, 0, 0};
    x.dims.oh =
        transposed ? (s.h - 1) * s.sh - 2 * s.ph + s.kh : (s.h + 2 * s.ph - s.kh) / s.sh + 1;
    x.dims.ow =
        transposed ? (s.w - 1) * s.sw - 2 * s.pw + s.kw : (s.w + 2 * s.pw - s.kw) / s.sw + 1;
    x.limit = conv_limit(&x.dims);
    x.n_inp = (size_t)s.n * (size_t)(s.c * s.h * s.w);
    x.n_out = (size_t)s.n * (size_t)(s.k * x.dims.oh * x.dims.ow);
    x.n_weight = (size_t)s.k * (size_t)(s.c * s.kh * s.kw);
    x.n_bias = (size_t)s.k;
    x.inp = random_floats(x.n_inp, 1, -1, 1);
    x.out = random_floats(x.n_out, 2, -1, 1);
    x.weight = random_floats(x.n_weight, 3, -1, 1);
    x.bias = random_floats(x.n_bias, 4, -1, 1);
    return x;
}

static inline void conv_data_free(struct conv_data *x)
{
    guarded_free(x->inp);
    guarded_free(x->out);
    guarded_free(x->weight);
    guarded_free(x->bias);
}

static inline void *conv_work(struct device *d, const struct conv_data *x, int backward)
{
    const struct kernels *k = d->kernels;
    return guarded(
        (x->transposed ? k->conv_transpose2d_work : k->conv2d_work)(d, &x->dims, backward));
}

static inline float *conv_forward(struct device *d, const struct conv_data *x, int bias,
                                  enum act act)
{
    const struct kernels *k = d->kernels;
    float *out = guarded_floats(x->n_out);
    void *work = conv_work(d, x, 0);
    (x->transposed ? k->conv_transpose2d_forward : k->conv2d_forward)(
        d, out, x->inp, x->weight, bias ? x->bias : NULL, &x->dims, act, work);
    device_sync(d);
    guarded_free(work);
    return out;
}

static inline float *conv_backward_data(struct device *d, const struct conv_data *x, int add)
{
    const struct kernels *k = d->kernels;
    float *dinp = guarded_floats(x->n_inp);
    if (add)
        memcpy(dinp, x->inp, x->n_inp * sizeof(*dinp));
    void *work = conv_work(d, x, 1);
    (x->transposed ? k->conv_transpose2d_backward_data
                   : k->conv2d_backward_data)(d, dinp, x->out, x->weight, &x->dims, add, work);
    device_sync(d);
    guarded_free(work);
    return dinp;
}

/* dweight, with dbias behind it. */
static inline float *conv_backward_weights(struct device *d, const struct conv_data *x, int bias,
                                           float scale)
{
    const struct kernels *k = d->kernels;
    float *dweight = guarded_floats(x->n_weight), *dbias = guarded_floats(x->n_bias);
    memcpy(dweight, x->weight, x->n_weight * sizeof(*dweight));
    memcpy(dbias, x->bias, x->n_bias * sizeof(*dbias));
    void *work = conv_work(d, x, 1);
    (x->transposed ? k->conv_transpose2d_backward_weights : k->conv2d_backward_weights)(
        d, dweight, bias ? dbias : NULL, x->out, x->inp, &x->dims, scale, work);
    device_sync(d);
    guarded_free(work);
    float *both = guarded_floats(x->n_weight + x->n_bias);
    memcpy(both, dweight, x->n_weight * sizeof(*both));
    memcpy(both + x->n_weight, dbias, x->n_bias * sizeof(*both));
    guarded_free(dweight);
    guarded_free(dbias);
    return both;
}

/* Frees got. */
static inline void conv_compare(const char *op, struct device *d, const struct conv_data *x,
                                float *got, const float *want, size_t count)
{
    const struct conv2d_dims *s = &x->dims;
    char what[256];
    snprintf(what, sizeof(what),
             "%s %s %s (%d, %d, %d, %d) k %d kernel %dx%d stride %d,%d pad %d,%d", d->kernels->name,
             x->transposed ? "conv_transpose2d" : "conv2d", op, s->n, s->c, s->h, s->w, s->k, s->kh,
             s->kw, s->sh, s->sw, s->ph, s->pw);
    check_nmse(what, got, want, count, x->limit);
    guarded_free(got);
}

/*
 * All three operations of one shape, set and added, with and without bias, each activation. Of a
 * large one each operation once, with all that it can do: the reference is slow. limit 0:
 * conv_limit's.
 */
static inline void conv_check_case(const struct check_devices *all, struct conv_case s,
                                   int transposed, double limit)
{
    static const enum act acts[ACT_COUNT] = {ACT_NONE, ACT_RELU, ACT_SIGMOID, ACT_LEAKY};
    struct conv_data x = conv_data_new(s, transposed);
    if (limit > 0)
        x.limit = limit;
    int large = x.n_out * (size_t)(s.c * s.kh * s.kw) > 10000000;
    for (int i = large ? ACT_COUNT - 1 : 0; i < ACT_COUNT; i++) {
        float *want = conv_forward(all->ref, &x, i > 0, acts[i]);
        for (int j = 0; j < all->n; j++)
            conv_compare("forward", all->d[j], &x, conv_forward(all->d[j], &x, i > 0, acts[i]),
                         want, x.n_out);
        guarded_free(want);
    }
    for (int add = large; add < 2; add++) {
        float scale = add ? 1 : -0.03f;
        float *dinp = conv_backward_data(all->ref, &x, add);
        float *dweight = conv_backward_weights(all->ref, &x, add, scale);
        for (int j = 0; j < all->n; j++) {
            struct device *d = all->d[j];
            conv_compare("backward data", d, &x, conv_backward_data(d, &x, add), dinp, x.n_inp);
            conv_compare("backward weights", d, &x, conv_backward_weights(d, &x, add, scale),
                         dweight, x.n_weight + x.n_bias);
        }
        guarded_free(dinp);
        guarded_free(dweight);
    }
    conv_data_free(&x);
}

static inline void conv_against(struct device *d, struct device *ref, struct conv_case s,
                                int transposed, double limit)
{
    conv_check_case(&(struct check_devices){.ref = ref, .d = {d}, .n = 1}, s, transposed, limit);
}

/* Of each case, on each device; the reference computes it once for all of them. */
static inline void conv_check_cases(const struct conv_case cases[], size_t n, int transposed)
{
    struct check_devices all = check_devices_open(2);
    for (size_t i = 0; i < n; i++)
        conv_check_case(&all, cases[i], transposed, 0);
    check_devices_close(&all);
}

static inline void conv_against_reference(struct device *d, struct device *ref, struct conv_case s,
                                          int transposed)
{
    conv_against(d, ref, s, transposed, 0);
}

static inline void conv_check_threads(const char *isa, struct conv_case s, int transposed)
{
    struct device *one = check_device(isa, 1);
    struct conv_data x = conv_data_new(s, transposed);
    float *out = conv_forward(one, &x, 1, ACT_LEAKY), *dinp = conv_backward_data(one, &x, 0),
          *dweight = conv_backward_weights(one, &x, 1, -0.1f);
    for (int threads = 2; threads <= 5; threads += threads == 3 ? 2 : 1) {
        struct device *d = check_device(isa, threads);
        float *out2 = conv_forward(d, &x, 1, ACT_LEAKY), *dinp2 = conv_backward_data(d, &x, 0),
              *dweight2 = conv_backward_weights(d, &x, 1, -0.1f);
        check_same("forward by threads", out2, out, x.n_out * sizeof(*out));
        check_same("backward data by threads", dinp2, dinp, x.n_inp * sizeof(*out));
        check_same("backward weights by threads", dweight2, dweight,
                   (x.n_weight + x.n_bias) * sizeof(*out));
        guarded_free(out2);
        guarded_free(dinp2);
        guarded_free(dweight2);
        device_close(d);
    }
    guarded_free(out);
    guarded_free(dinp);
    guarded_free(dweight);
    conv_data_free(&x);
    device_close(one);
}

#endif
