/*
 * SGD as PyTorch defines it: g += weight_decay * w; v = momentum * v + g (v = g at first);
 * w -= lr * v. It says which gradients a model must be bound with and which scale
 * backward_weights gets:
 *
 *     model_bind(m, dev, RUN_TRAIN, sgd_grads(&sgd, micro_batches));
 *     sgd_begin(&sgd, m);                           // before the first backward_weights of a step
 *     pass_backward_weights(p, sgd_scale(&sgd, m)); // once a micro-batch
 *     sgd_end(&sgd, m);                             // after the last
 */
#ifndef MODELS_OPTIMIZER_H
#define MODELS_OPTIMIZER_H

#include "models/model.h"

struct sgd {
    float lr, momentum, weight_decay;
};

enum model_grads sgd_grads(const struct sgd *s, int micro_batches);
float sgd_scale(const struct sgd *s, const struct model *m);
void sgd_begin(const struct sgd *s, struct model *m);
void sgd_end(const struct sgd *s, struct model *m);

#endif
