/*
 * A model: layers in order, and their weights. Nothing of a micro-batch: that is a pass (pass.h).
 *
 *     struct model *m;
 *     struct model_options opt = model_options_default();
 *     if (model_open(&m, "vgg11", &opt) < 0) ...                 // shapes only: no weights yet
 *     if (model_slice(m, 0, 6) < 0) ...               // this node's share; all of it by default
 *     if (model_bind(m, dev, RUN_TRAIN, MODEL_GRADS_FUSED) < 0) ...     // allocates weights
 *     model_init(m, seed);                                       // or weights_load(m, path)
 *     model_close(m);
 */
#ifndef MODELS_MODEL_H
#define MODELS_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "layers/layer.h"

struct model_options {
    float dropout; /* VGG; 0 leaves the layers in as no-ops: numbers never change */
    int codec;     /* channels divided by it around the default cut; 0: no codec */
    int classes;   /* 0: the model's own (VGG 1000, small 10) */
    bool unfolded; /* VGG: its first linear layer in full, in PyTorch's order of summation */
};
struct model_options model_options_default(void);

enum model_grads {
    MODEL_GRADS_NONE, /* no training */
    /* param.grad is the parameter itself: backward_weights with scale -lr is the update */
    MODEL_GRADS_FUSED,
    MODEL_GRADS_OWN, /* a buffer of gradients (momentum, weight decay, micro-batches) */
};

struct model {
    char name[LAYER_NAME_BYTES];
    /* all layers of the whole model: shapes and numbers are known everywhere */
    struct layer **layer;
    int nlayer;
    struct tensor in;        /* one sample, dim[0] = 1 */
    struct layer_plan *plan; /* nlayer of them, for one sample */
    int classes;
    int boxes;       /* a detector's: its output is (n, boxes, 5 + classes); 0: no detector */
    int default_cut; /* 0: none */
    int from, to;    /* this node's layers: from included, to not */
    /* passes opened from now on fuse nothing and share no memory: the same bits, for tests,
     * benches */
    bool naive;
    bool folded;                /* the weights have been through model_fold */
    enum weights_origin origin; /* of the weights */
    /* weights that the program brings along, as darknet writes them; NULL: none */
    const void *shipped;
    size_t shipped_bytes;

    struct device *dev; /* from here on: after model_bind */
    enum model_grads grads_kind;
    struct buffer params, grads;
    /* trained floats at the start of params, padding included; running statistics follow */
    size_t nparam_floats;
};

/* By name (model_names), or a path to a darknet .cfg. -EINVAL and a sentence where the name is
 * unknown or an option does not fit; any other error is the file's. */
int model_open(struct model **m, const char *name, const struct model_options *opt);
void model_close(struct model *m); /* NULL is fine */

/* The names that model_open knows, NULL-terminated. */
const char *const *model_names(void);

/* This node runs layers from (included) to `to` (not); 0, 0: none. Refused where a cut is not
 * legal, with the legal ones. */
int model_slice(struct model *m, int from, int to);

/* True if exactly one tensor crosses between layers cut-1 and cut (0 < cut < nlayer). */
bool model_cut_legal(const struct model *m, int cut);

/* The layer whose output enters layer `number` of a whole run, -1: the model's input. number ==
 * nlayer: the last layer. The cut must be legal. */
int model_producer(const struct model *m, int number);

/* What enters layer `number` of a whole run for n samples; number == nlayer: the output. The cut
 * must be legal. */
struct tensor model_crossing(const struct model *m, int number, int n);

/* trained floats of layers from..to */
size_t model_param_count(const struct model *m, int from, int to);
double model_flops(const struct model *m, int from, int to); /* forward, one sample */

/* A hash of the definition (layers, shapes, options): equal on two nodes that run the same
 * model. */
uint64_t model_hash(const struct model *m);

/* Allocates this slice's weights (zeroed) and, as asked, gradients; checks that the device has
 * every kernel. */
int model_bind(struct model *m, struct device *dev, enum run_mode run, enum model_grads grads);

/* Changes where gradients go, for a worker that learns the number of micro-batches later; the
 * buffer of MODEL_GRADS_OWN is allocated the first time. -ENOMEM and a sentence: nothing has
 * changed. */
int model_set_grads(struct model *m, enum model_grads grads);

/* Fresh weights for this slice, keyed by (seed, layer number): the same whatever the slice. */
void model_init(struct model *m, uint64_t seed);

/* Parameters were written from outside (model_init and weights_load call it): layers derive from
 * them what they keep beside them. (queued) */
void model_prepare(struct model *m);

/* Before parameters are read in place: layers put into them what they keep beside them
 * (weights_save does without). Training goes on after model_prepare. (queued) */
void model_settle(struct model *m);

/* Makes the slice's weights ready for RUN_EVAL, in place: batch-norm becomes part of convolutions
 * where a layer can do so. Folded weights cannot be saved any more; fresh or loaded ones are not
 * folded. Done once: does nothing on folded weights. Passes in RUN_EVAL call it. (queued) */
void model_fold(struct model *m);

#endif
