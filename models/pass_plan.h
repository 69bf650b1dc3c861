/*
 * Inside a pass: what pass.c runs and pass_plan.c lays out. A value is a tensor between layers:
 * number 0 is the slice's input, i + 1 the output of the slice's layer i. A slot is a run of memory
 * that one value, or several one after the other, lie in.
 */
#ifndef MODELS_PASS_PLAN_H
#define MODELS_PASS_PLAN_H

#include "models/pass.h"

struct pass_layer {
    struct layer *layer;
    struct layer_plan plan;  /* for a full batch */
    int input[LAYER_MAX_IN]; /* values */
    struct layer_io io;
    bool fused;    /* the layer before does its forward */
    bool backward; /* its output has a gradient */
    bool trained;  /* it has parameters with gradients */
};

/* What of a pass's work is recorded: for each of its ways the runs of layers, made once a size. */
enum pass_way { WAY_FORWARD, WAY_BACKWARD_DATA, WAY_BACKWARD_WEIGHTS, WAY_COUNT };

struct pass_key {
    int n;
    enum model_grads grads;
    float scale;
};

struct pass_recorded {
    struct pass_key key, last; /* of what is recorded; of the call before */
    /* by its first layer, of nlayer; NULL: the device does not record */
    struct recording **run;
};

struct pass {
    struct model *model;
    enum run_mode run;
    int batch, n; /* planned, and now */
    int nlayer;
    struct pass_layer *layer;    /* nlayer of them */
    struct tensor *value, *grad; /* nlayer + 1 of them; data NULL: has none */
    int out;                     /* the value that leaves the slice */
    struct buffer mem;           /* all that the pass owns on the device */
    struct buffer host;          /* losses and labels, pinned */
    float *loss;                 /* batch of them */
    int32_t *labels;             /* batch of them */
    struct pass_recorded recorded[WAY_COUNT];
};

/* Plans shapes, sharing and lifetimes of p's layers (p->model, run, batch, nlayer and the arrays
 * are set), allocates p->mem and gives every tensor its place. */
int pass_plan(struct pass *p, const struct pass_ends *ends);

#endif
