/*
 * Models of a few layers and batches for them, for the tests of passes. Include after cmocka.h.
 */
#ifndef TESTS_TINY_MODELS_H
#define TESTS_TINY_MODELS_H

#include "tests/chain.h"
#include "tests/sum_layer.h"

enum { BATCH = 4 };

static inline struct model *opened(const char *name, int codec)
{
    struct model_options opt = model_options_default();
    struct model *m;
    opt.codec = codec;
    if (model_open(&m, name, &opt) < 0)
        fail_msg("%s", err_text());
    return m;
}

static inline struct model *small(void)
{
    return opened("small", 0);
}

static inline struct model *residual(void)
{
    return residual_model(3, 5, ACT_RELU);
}

/* Every kind of layer, VGG's order, few numbers. */
static inline struct model *tiny_with(bool units, float dropout)
{
    struct tensor in = tensor_f32(4, (int[]){1, 3, 8, 8});
    struct model *m;
    CHECK(model_begin(&m, "tiny", &in) == 0);
    CHECK(model_add(m, conv2d_new(3, 6, 3, 1, 1, true, INIT_VGG), "a") == 0);
    CHECK(model_add(m, activation_new(ACT_RELU), "b") == 0);
    CHECK(model_add(m, maxpool_new(2, 2, 0, 0), "c") == 0);
    if (units)
        CHECK(codec_add(m, 6, 2) == 0);
    CHECK(model_add(m, conv2d_new(6, 8, 3, 1, 0, false, INIT_VGG), "d") == 0);
    CHECK(model_add(m, activation_new(ACT_LEAKY), "e") == 0);
    CHECK(model_add(m, avgpool_new(3, 3), "f") == 0);
    CHECK(model_add(m, flatten_new(), "g") == 0);
    CHECK(model_add(m, linear_new(72, 12, INIT_PYTORCH), "h") == 0);
    CHECK(model_add(m, activation_new(ACT_SIGMOID), "i") == 0);
    CHECK(model_add(m, dropout_new(dropout), "j") == 0);
    CHECK(model_add(m, linear_new(12, 5, INIT_PYTORCH), "k") == 0);
    m->classes = 5;
    CHECK(model_finish(m) == 0);
    return m;
}

static inline struct model *tiny(void)
{
    return tiny_with(true, 0.5f);
}

static inline struct model *tiny_plain(void)
{
    return tiny_with(false, 0.5f);
}

static inline struct model *tiny_no_dropout(void)
{
    return tiny_with(false, 0);
}

struct batch {
    float *input;
    int32_t labels[BATCH];
};

static inline struct batch batch_of(const struct chain *c, uint32_t step)
{
    const struct model *m = c->model[0];
    struct batch b = {random_floats(chain_crossing(m, 0, BATCH), 100 + step, -1, 1), {0}};
    for (int i = 0; i < BATCH; i++)
        b.labels[i] = (i * 3 + (int)step) % m->classes;
    return b;
}

static inline double step_on_batch(struct chain *c, int n, uint32_t step)
{
    struct batch b = batch_of(c, step);
    double loss = chain_step(c, b.input, b.labels, n, step);
    guarded_free(b.input);
    return loss;
}

static const struct chain_how train = {.run = RUN_TRAIN, .batch = BATCH, .sgd = {.lr = 0.05f}};

#endif
