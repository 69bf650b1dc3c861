/*
 * What tests of linear layers share: random data of a layer's shape, its three operations, and
 * their comparison.
 */
#ifndef TESTS_LINEAR_CHECK_H
#define TESTS_LINEAR_CHECK_H

#include <stdio.h>

#include "tests/check.h"

struct linear_shape {
    int n, c, k;
};

struct linear_data {
    size_t n_inp, n_out, n_weight, n_bias;
    float *inp, *out, *weight, *bias; /* out doubles as the gradient of the output */
};

static inline struct linear_data linear_data_new(struct linear_shape s)
{
    struct linear_data x = {.n_inp = (size_t)s.n * (size_t)s.c,
                            .n_out = (size_t)s.n * (size_t)s.k,
                            .n_weight = (size_t)s.k * (size_t)s.c,
                            .n_bias = (size_t)s.k};
    x.inp = random_floats(x.n_inp, 1, -1, 1);
    x.out = random_floats(x.n_out, 2, -1, 1);
    x.weight = random_floats(x.n_weight, 3, -1, 1);
    x.bias = random_floats(x.n_bias, 4, -1, 1);
    return x;
}

static inline void linear_data_free(struct linear_data *x)
{
    guarded_free(x->inp);
    guarded_free(x->out);
    guarded_free(x->weight);
    guarded_free(x->bias);
}

/* A guarded copy, or poison. */
static inline float *linear_copy(const float *x, size_t n)
{
    float *y = guarded_floats(n);
    if (x)
        memcpy(y, x, n * sizeof(*y));
    return y;
}

static inline float *linear_forward(struct device *d, struct linear_shape s,
                                    const struct linear_data *x, int bias, enum act act)
{
    float *out = guarded_floats(x->n_out);
    void *work = guarded(d->kernels->linear_work(d, s.n, s.c, s.k));
    d->kernels->linear_forward(d, out, x->inp, x->weight, bias ? x->bias : NULL, s.n, s.c, s.k, act,
                               work);
    device_sync(d);
    guarded_free(work);
    return out;
}

static inline float *linear_backward_data(struct device *d, struct linear_shape s,
                                          const struct linear_data *x, int add)
{
    float *dinp = linear_copy(add ? x->inp : NULL, x->n_inp);
    void *work = guarded(d->kernels->linear_work(d, s.n, s.c, s.k));
    d->kernels->linear_backward_data(d, dinp, x->out, x->weight, s.n, s.c, s.k, add, work);
    device_sync(d);
    guarded_free(work);
    return dinp;
}

/* dweight, with dbias behind it. */
static inline float *linear_backward_weights(struct device *d, struct linear_shape s,
                                             const struct linear_data *x, int bias, float scale)
{
    float *dweight = linear_copy(x->weight, x->n_weight), *dbias = linear_copy(x->bias, x->n_bias);
    void *work = guarded(d->kernels->linear_work(d, s.n, s.c, s.k));
    d->kernels->linear_backward_weights(d, dweight, bias ? dbias : NULL, x->out, x->inp, s.n, s.c,
                                        s.k, scale, work);
    device_sync(d);
    guarded_free(work);
    float *both = guarded_floats(x->n_weight + x->n_bias);
    memcpy(both, dweight, x->n_weight * sizeof(*both));
    memcpy(both + x->n_weight, dbias, x->n_bias * sizeof(*both));
    guarded_free(dweight);
    guarded_free(dbias);
    return both;
}

static inline void linear_compare(const char *op, struct device *d, struct linear_shape s,
                                  float *got, float *want, size_t count, double limit)
{
    char what[128];
    snprintf(what, sizeof(what), "%s linear %s n %d c %d k %d", d->kernels->name, op, s.n, s.c,
             s.k);
    check_nmse(what, got, want, count, limit);
    guarded_free(got);
    guarded_free(want);
}

/* All three operations of one shape, set and added, with and without bias, each activation. */
static inline void linear_against_reference(struct device *d, struct device *ref,
                                            struct linear_shape s, double limit)
{
    struct linear_data x = linear_data_new(s);
    for (int act = 0; act < ACT_COUNT; act++)
        linear_compare("forward", d, s, linear_forward(d, s, &x, act % 2, (enum act)act),
                       linear_forward(ref, s, &x, act % 2, (enum act)act), x.n_out, limit);
    linear_compare("forward with bias", d, s, linear_forward(d, s, &x, 1, ACT_RELU),
                   linear_forward(ref, s, &x, 1, ACT_RELU), x.n_out, limit);
    for (int add = 0; add < 2; add++) {
        linear_compare("backward data", d, s, linear_backward_data(d, s, &x, add),
                       linear_backward_data(ref, s, &x, add), x.n_inp, limit);
        linear_compare("backward weights", d, s,
                       linear_backward_weights(d, s, &x, add, add ? 1 : -0.03f),
                       linear_backward_weights(ref, s, &x, add, add ? 1 : -0.03f),
                       x.n_weight + x.n_bias, limit);
    }
    linear_data_free(&x);
}

#endif
