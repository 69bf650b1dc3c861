/*
 * One micro-batch in flight through a model's slice: its activations, saved state and inner
 * gradients, planned and placed once. Its four ends are lent by whoever feeds it (a frame's slot, a
 * loader, a test) and must outlive it.
 *
 *     struct pass *p;
 *     struct pass_ends ends = {.in = slot_in, .out = slot_out, .dout = slot_dout, .din = slot_din};
 *     if (pass_open(&p, model, RUN_TRAIN, 64, &ends) < 0) ...
 *     pass_set(p, n, seed, step, first_sample);    // n <= 64 samples this time; allocates nothing
 *     pass_forward(p);
 *     pass_loss(p, labels, n_full);                // last slice: dout from the labels
 *     pass_backward_data(p);
 *     pass_backward_weights(p, scale);
 *     if (device_sync(dev) < 0) ...
 *     loss = pass_loss_sum(p);
 *     pass_close(p);
 */
#ifndef MODELS_PASS_H
#define MODELS_PASS_H

#include "models/model.h"

/* Memory that is lent: data pointers for batch samples of the shapes that model_crossing gives.
 * NULL where there is none: out NULL lets the pass own its output, din NULL means nobody wants
 * the input's gradient, dout NULL lets the pass own it (the last slice: pass_loss fills it). */
struct pass_ends {
    float *in, *out, *dout, *din;
};

struct pass;

int pass_open(struct pass **p, struct model *m, enum run_mode run, int batch,
              const struct pass_ends *ends);
void pass_close(struct pass *p); /* NULL is fine */

/* Samples of this micro-batch and the keys of its random numbers. */
void pass_set(struct pass *p, int n, uint64_t seed, uint32_t step, uint64_t first_sample);

void pass_forward(struct pass *p); /* (queued) */

/* Softmax cross-entropy of the output; dout = (softmax - onehot) / n_full where the pass trains.
 * The labels are copied. (queued) */
void pass_loss(struct pass *p, const int32_t *labels, int n_full);

/* The sum (not the mean) over the n samples, in double, in order. Only once the device has done
 * what pass_loss queued (device_sync, a fence), and before the next pass_set. */
double pass_loss_sum(const struct pass *p);

void pass_backward_data(struct pass *p); /* (queued) all layers, last to first */
/* (queued) param.grad += scale * gradient */
void pass_backward_weights(struct pass *p, float scale);

const struct tensor *pass_out(const struct pass *p); /* dim[0] is the n of pass_set */
size_t pass_bytes(const struct pass *p);             /* memory that the pass owns */

#endif
