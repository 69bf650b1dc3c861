/*
 * A pass's work, recorded on devices that can (device_ops.record), for its pass.c alone. Recorded
 * is what is the same in each step: layers that draw random numbers are queued as they are, the
 * runs of layers between them are a recording each.
 */
#ifndef MODELS_PASS_RECORD_H
#define MODELS_PASS_RECORD_H

#include "models/pass_plan.h"

/* Layers from .. to of the slice, without `to`, in either direction. */
typedef void pass_run_fn(struct pass *p, int from, int to, float scale);

/*
 * Does fn over all layers, as `way` says. What came twice in succession with the same n, gradients
 * and scale is recorded then, and replayed from then on; anything else is queued layer by layer, so
 * that an epoch's short last batch costs no recording.
 */
void pass_record_run(struct pass *p, enum pass_way way, pass_run_fn *fn, float scale);

/* -ENOMEM and a sentence; close may follow a failure. */
int pass_record_open(struct pass *p);
void pass_record_close(struct pass *p);

#endif
