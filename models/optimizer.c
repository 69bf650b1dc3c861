/*
 * SGD. Without momentum, weight decay and micro-batches the gradients are never in memory: the
 * kernels add -lr times them to the weights. Else one buffer holds both: it is prepared as momentum
 * times the last step's velocity plus the weight decay, and the gradients add to it.
 */
#include "models/optimizer.h"

#include "base/err.h"

enum model_grads sgd_grads(const struct sgd *s, int micro_batches)
{
    if (s->momentum == 0 && s->weight_decay == 0 && micro_batches == 1)
        return MODEL_GRADS_FUSED;
    return MODEL_GRADS_OWN;
}

float sgd_scale(const struct sgd *s, const struct model *m)
{
    CHECK(m->grads_kind != MODEL_GRADS_NONE);
    return m->grads_kind == MODEL_GRADS_FUSED ? -s->lr : 1.0f;
}

void sgd_begin(const struct sgd *s, struct model *m)
{
    if (m->grads_kind != MODEL_GRADS_OWN)
        return;
    const struct kernels *k = m->dev->kernels;
    /* not 0 * g: a NaN of an earlier step would stay for ever */
    if (s->momentum == 0)
        k->fill(m->dev, m->grads.base, m->nparam_floats, 0);
    if (s->momentum != 0 || s->weight_decay != 0)
        k->axpby(m->dev, m->grads.base, m->params.base, m->nparam_floats, s->weight_decay,
                 s->momentum);
}

void sgd_end(const struct sgd *s, struct model *m)
{
    if (m->grads_kind == MODEL_GRADS_OWN)
        m->dev->kernels->axpy(m->dev, m->params.base, m->grads.base, m->nparam_floats, -s->lr);
}
