/*
 * A model in one process, whole or cut into parts whose ends are joined by arrays, as sockets would
 * join them. Every part has its own model and weights. The arrays start as poison between guards.
 *
 *     struct chain *c = chain_open(build, device, &(struct chain_how){.cut = {3}, .ncut = 1, ...});
 *     double loss = chain_step(c, input, labels, n, step);
 *     check_chains_equal("cut at 3", c, whole);
 *     chain_close(c);
 */
#ifndef TESTS_CHAIN_H
#define TESTS_CHAIN_H

#include "models/optimizer.h"
#include "models/pass.h"
#include "tests/check.h"

enum { CHAIN_MAX_CUT = 3, CHAIN_MAX_MICRO = 4, CHAIN_SEED = 7 };

typedef struct model *chain_build(void);

struct chain_how {
    int cut[CHAIN_MAX_CUT], ncut;
    enum run_mode run;
    int batch; /* of a micro-batch */
    int micro; /* micro-batches a step; 0: 1 */
    struct sgd sgd;
    bool naive;
    bool want_din;  /* the first part is asked for the input's gradient */
    bool lend_dout; /* the last part does not get its gradient from a loss */
    bool own_out;   /* the last part owns its output */
};

struct chain {
    struct chain_how how;
    int npart;
    struct model *model[CHAIN_MAX_CUT + 1];
    struct pass *pass[CHAIN_MAX_CUT + 1][CHAIN_MAX_MICRO];
    /* ends before each part and after the last one, and their elements for a whole batch */
    size_t end_count[CHAIN_MAX_CUT + 2];
    float *act[CHAIN_MAX_CUT + 2][CHAIN_MAX_MICRO], *grad[CHAIN_MAX_CUT + 2][CHAIN_MAX_MICRO];
};

static inline size_t chain_crossing(const struct model *m, int number, int n)
{
    struct tensor t = model_crossing(m, number, n);
    return tensor_count(&t);
}

static inline void chain_open_passes(struct chain *c)
{
    for (int k = 0; k < c->how.micro; k++) {
        for (int i = 0; i <= c->npart; i++) {
            c->act[i][k] = guarded_floats(c->end_count[i]);
            c->grad[i][k] = guarded_floats(c->end_count[i]);
        }
        for (int i = 0; i < c->npart; i++) {
            bool first = i == 0;
            bool last = c->model[i]->to == c->model[i]->nlayer && !c->how.lend_dout;
            struct pass_ends ends = {
                .in = c->act[i][k],
                .out = c->how.own_out && i == c->npart - 1 ? NULL : c->act[i + 1][k],
                .dout = last ? NULL : c->grad[i + 1][k],
                .din = first && !c->how.want_din ? NULL : c->grad[i][k],
            };
            if (pass_open(&c->pass[i][k], c->model[i], c->how.run, c->how.batch, &ends) < 0)
                fail_msg("%s", err_text());
        }
    }
}

static inline struct chain *chain_open(chain_build *build, struct device *d,
                                       const struct chain_how *how)
{
    struct chain *c = calloc(1, sizeof(*c));
    CHECK(c);
    c->how = *how;
    c->how.micro = how->micro ? how->micro : 1;
    c->npart = how->ncut + 1;
    enum model_grads grads =
        how->run == RUN_TRAIN ? sgd_grads(&how->sgd, c->how.micro) : MODEL_GRADS_NONE;
    for (int i = 0; i < c->npart; i++) {
        struct model *m = c->model[i] = build();
        int from = i ? how->cut[i - 1] : m->from, to = i < how->ncut ? how->cut[i] : m->to;
        if (model_slice(m, from, to) < 0 || model_bind(m, d, how->run, grads) < 0)
            fail_msg("%s", err_text());
        m->naive = how->naive;
        model_init(m, CHAIN_SEED);
        c->end_count[i] = chain_crossing(m, from, c->how.batch);
        c->end_count[i + 1] = chain_crossing(m, to, c->how.batch);
    }
    chain_open_passes(c);
    return c;
}

static inline void chain_close(struct chain *c)
{
    for (int k = 0; k < c->how.micro; k++)
        for (int i = 0; i <= c->npart; i++) {
            if (i < c->npart)
                pass_close(c->pass[i][k]);
            guarded_free(c->act[i][k]);
            guarded_free(c->grad[i][k]);
        }
    for (int i = 0; i < c->npart; i++)
        model_close(c->model[i]);
    free(c);
}

static inline void chain_forward(struct chain *c, int k)
{
    for (int i = 0; i < c->npart; i++)
        pass_forward(c->pass[i][k]);
}

static inline void chain_update(struct chain *c)
{
    for (int i = 0; i < c->npart; i++) {
        sgd_begin(&c->how.sgd, c->model[i]);
        for (int k = 0; k < c->how.micro; k++)
            pass_backward_weights(c->pass[i][k], sgd_scale(&c->how.sgd, c->model[i]));
        sgd_end(&c->how.sgd, c->model[i]);
    }
}

/* One step over n samples (n / micro to each micro-batch); the mean loss. */
static inline double chain_step(struct chain *c, const float *input, const int32_t *labels, int n,
                                uint32_t step)
{
    int each = n / c->how.micro;
    size_t row = c->end_count[0] / (size_t)c->how.batch;
    double loss = 0;
    CHECK(each * c->how.micro == n && each <= c->how.batch);
    for (int k = 0; k < c->how.micro; k++) {
        int first = k * each;
        memcpy(c->act[0][k], input + (size_t)first * row, (size_t)each * row * sizeof(float));
        for (int i = 0; i < c->npart; i++)
            pass_set(c->pass[i][k], each, CHAIN_SEED, step, (uint64_t)first);
        chain_forward(c, k);
        pass_loss(c->pass[c->npart - 1][k], labels + first, n);
        for (int i = c->npart; i-- > 0 && c->how.run == RUN_TRAIN;)
            pass_backward_data(c->pass[i][k]);
    }
    if (c->how.run == RUN_TRAIN)
        chain_update(c);
    if (device_sync(c->model[0]->dev) < 0)
        fail_msg("%s", err_text());
    for (int k = 0; k < c->how.micro; k++)
        loss += pass_loss_sum(c->pass[c->npart - 1][k]);
    return loss / n;
}

/* A parameter of layer `layer`, wherever it lies. */
static inline const struct param *chain_param(const struct chain *c, int layer, int i)
{
    for (int p = 0; p < c->npart; p++)
        if (layer >= c->model[p]->from && layer < c->model[p]->to)
            return &c->model[p]->layer[layer]->param[i];
    return NULL;
}

/* All parameters: bit for bit with limit 0, else by NMSE. */
static inline void check_chains_equal(const char *what, const struct chain *got,
                                      const struct chain *want, double limit)
{
    const struct model *m = want->model[0];
    for (int l = m->from; l < want->model[want->npart - 1]->to; l++)
        for (int i = 0; i < m->layer[l]->nparam; i++) {
            const struct param *g = chain_param(got, l, i), *w = chain_param(want, l, i);
            char text[200];
            snprintf(text, sizeof(text), "%s: %s", what, w->name);
            if (limit == 0)
                check_same(text, g->value.data, w->value.data, tensor_bytes(&w->value));
            else
                check_nmse(text, g->value.data, w->value.data, tensor_count(&w->value), limit);
        }
}

#endif
