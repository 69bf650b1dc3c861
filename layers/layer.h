/*
 * A layer: shapes, parameters, and which kernels run in which order. Adding one is one file here,
 * its kernels, and rows in the tests. Shapes are planned without memory or a device; memory is lent
 * by the model's pass.
 *
 * Input gradients obey `mode`, set once at planning: the consumer that runs first in backward order
 * gets SET, later ones ADD, GRAD_NONE where nobody wants it. Parameter gradients always add, times
 * `scale` (see kernels.h).
 */
#ifndef LAYERS_LAYER_H
#define LAYERS_LAYER_H

#include <stdbool.h>

#include "base/rng.h"
#include "kernels/device.h"
#include "kernels/kernels.h"
#include "kernels/tensor.h"

enum { LAYER_MAX_IN = 8, LAYER_MAX_SAVED = 4, LAYER_MAX_PARAM = 6, LAYER_NAME_BYTES = 64 };

enum grad_mode { GRAD_NONE, GRAD_SET, GRAD_ADD };

enum run_mode { RUN_EVAL, RUN_TRAIN };

/* Whose weights: it says what batch-norm adds to a variance before it divides by its root. */
enum weights_origin { ORIGIN_PYTORCH, ORIGIN_DARKNET };

/* A named array that belongs to a layer. `data` and `grad` lie in the model's buffers; NULL
 * until it is bound. */
struct param {
    char name[LAYER_NAME_BYTES]; /* as in PyTorch's state_dict, "features.0.weight" */
    struct tensor value;         /* shape; data once bound */
    float *grad;                 /* what backward_weights adds to; NULL for state */
    bool state;                  /* running statistics: saved with the weights, not trained */
    /* Where delta is not NULL the parameter's element i is data[i] + delta[i / repeat]. */
    const float *delta;
    int repeat;
};

/* What plan() says of a layer for given input shapes. */
struct layer_plan {
    struct tensor out;
    struct tensor saved[LAYER_MAX_SAVED]; /* forward writes, backward reads; only in RUN_TRAIN */
    int nsaved;
    double flops; /* forward, multiply and add counted as two */

    /* What the pass may do with memory. */
    bool alias;         /* out holds in[0]'s values: on the same memory nothing is left to do */
    bool in_place;      /* forward may write out over in[0] */
    bool grad_in_place; /* backward_data may write din[0] over dout (GRAD_SET) */
    bool reads_in;      /* backward reads in[] */
    bool reads_out;     /* backward reads out */
};

/* What one layer touches in one micro-batch. All lent: a layer frees nothing here. dim[0] of in,
 * out, dout, din is the number of samples now, at most what was planned; saved stays as planned. */
struct layer_io {
    const struct tensor *in[LAYER_MAX_IN];
    struct tensor *out;
    struct tensor saved[LAYER_MAX_SAVED];
    const struct tensor *dout;
    struct tensor *din[LAYER_MAX_IN];
    enum grad_mode mode[LAYER_MAX_IN];
    void *work; /* scratch, dead after each call */
    enum run_mode run;
    enum act act; /* forward applies it last; ACT_NONE where fuses_act does not say true */
    /* keys of the random numbers: seed, step, and the first sample's number in the full batch */
    uint64_t seed;
    uint32_t step;
    uint64_t first_sample;
};

struct layer;

struct layer_ops {
    const char *name; /* "conv2d" */
    /* Shapes alone: fills plan (zeroed) from the inputs. -EINVAL and a sentence on misfit. */
    int (*plan)(const struct layer *l, const struct tensor in[], enum run_mode run,
                struct layer_plan *plan);
    /* Bytes of scratch that forward (and in RUN_TRAIN backward) want on this device, which settles
     * here how it will compute them. (optional) */
    size_t (*work_bytes)(const struct layer *l, struct device *d, const struct tensor in[],
                         enum run_mode run);
    /* The name of a kernel that this device lacks and the layer needs, or NULL. (optional) */
    const char *(*missing)(const struct layer *l, const struct kernels *k, enum run_mode run);
    /* Fresh parameters, keyed by (seed, l->number). (optional: no parameters) */
    void (*init)(const struct layer *l, struct device *d, uint64_t seed);
    /* Memory of its own, freed by free(). -ENOMEM and a sentence. (optional) */
    int (*bind)(struct layer *l, struct device *d);
    /* The parameters were written from outside: derives what it keeps of them. (optional) */
    void (*prepare)(struct layer *l, struct device *d);
    /* Puts into the parameters what it keeps beside them: no delta is left. (optional) */
    void (*settle)(struct layer *l, struct device *d);
    /* Changes the parameters in place into what forward wants in RUN_EVAL, once they are all
     * there (model_fold). (optional: they are) */
    void (*fold)(const struct layer *l, struct device *d, enum weights_origin origin);
    void (*forward)(const struct layer *l, struct device *d, struct layer_io *io);
    /* Runs for every layer whose output has a gradient, also where all modes are GRAD_NONE. */
    void (*backward_data)(const struct layer *l, struct device *d, struct layer_io *io);
    /* param.grad += scale * gradient. (optional: no parameters) */
    void (*backward_weights)(const struct layer *l, struct device *d, struct layer_io *io,
                             float scale);
    /* True if forward applies io->act itself in this mode: the activation layer after it has then
     * nothing to do in forward. (optional) */
    bool (*fuses_act)(const struct layer *l, enum run_mode run);
    /* True if what it queues is not the same in each step, because random numbers are in it.
     * (optional: it is) */
    bool (*varies)(const struct layer *l, enum run_mode run);
    /* One line of its own numbers for `inspect`, "3x3, stride 1, pad 1". (optional) */
    char *(*describe)(const struct layer *l, char *text, size_t text_bytes);
    void (*free)(struct layer *l); /* (optional: plain free) */
};

/* Embedded first in struct conv2d, struct linear, ...: their own numbers stay their own. */
struct layer {
    const struct layer_ops *ops;
    /* in the whole model, as `inspect` prints it: keys its random numbers */
    int number;
    char name[LAYER_NAME_BYTES];  /* prefix of its parameters' names, "features.0" */
    int nin, input[LAYER_MAX_IN]; /* layer numbers, -1 for the model's input */
    struct param param[LAYER_MAX_PARAM];
    int nparam;
    enum act act; /* an activation layer's own, else ACT_NONE */
};

/* NULL is fine. */
void layer_free(struct layer *l);

/* For constructors. layer_alloc: zeroed, `bytes` of the layer's own struct; nin 1. NULL and a
 * sentence. */
void *layer_alloc(const struct layer_ops *ops, size_t bytes);
/* Adds a parameter of this shape; the model puts the layer's name before `name`. Returns it. */
struct param *layer_add_param(struct layer *l, const char *name, int ndim, const int dim[]);

/* For plans and forwards of layers: the input as images, or -EINVAL and a sentence. */
int layer_want_images(const struct layer *l, const struct tensor *in, int channels);
/* Adds a saved tensor of this dtype and shape to a plan. */
void layer_plan_save(struct layer_plan *plan, enum dtype dtype, int ndim, const int dim[]);
/* dst = or += src, elementwise; nothing where both are the same memory. For layers that only
 * pass on. */
void layer_copy(struct device *d, struct tensor *dst, const struct tensor *src,
                enum grad_mode mode);
/* The key of this layer's parameter i. */
struct rng layer_weights_key(const struct layer *l, uint64_t seed, int param);

/* Fresh weights. INIT_PYTORCH: kaiming-uniform(a = sqrt 5), as nn.Module's default; INIT_VGG:
 * convolutions kaiming-normal fan_out, linear layers N(0, 0.01), biases 0. */
enum weight_init { INIT_PYTORCH, INIT_VGG };

/* Constructors. No memory: NULL and a sentence. The model numbers and connects them. */
struct layer *conv2d_new(int in_channels, int out_channels, int kernel, int stride, int pad,
                         bool bias, enum weight_init init);
struct layer *conv_transpose2d_new(int in_channels, int out_channels, int kernel, int stride,
                                   int pad);
struct layer *linear_new(int in_features, int out_features, enum weight_init init);
/* A linear layer behind an average pool that repeats each of `channels` values h * w times: the
 * same function and the same SGD, computed once instead of h * w times. */
struct layer *linear_repeated_new(int channels, int h, int w, int out_features,
                                  enum weight_init init);
struct layer *batchnorm_new(int channels, float momentum, float eps);
struct layer *activation_new(enum act act);
struct layer *maxpool_new(int kernel, int stride, int pad_before, int pad_after);
struct layer *avgpool_new(int out_h, int out_w);
struct layer *flatten_new(void);
struct layer *dropout_new(float p);

#endif
