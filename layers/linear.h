/* What linear.c shares with its variant linear_repeated.c: the struct, and its ops one by one. */
#ifndef LAYERS_LINEAR_H
#define LAYERS_LINEAR_H

#include "layers/layer.h"

struct linear {
    struct layer layer; /* first */
    int in_features, out_features;
    enum weight_init init;
};

void linear_setup(struct linear *f, int in_features, int out_features, enum weight_init init);

/* As layer.h says of each op. */
int linear_plan(const struct layer *l, const struct tensor in[], enum run_mode run,
                struct layer_plan *plan);
size_t linear_work_bytes(const struct layer *l, struct device *d, const struct tensor in[],
                         enum run_mode run);
const char *linear_missing(const struct layer *l, const struct kernels *k, enum run_mode run);
void linear_init(const struct layer *l, struct device *d, uint64_t seed);
void linear_forward(const struct layer *l, struct device *d, struct layer_io *io);
void linear_backward_data(const struct layer *l, struct device *d, struct layer_io *io);
void linear_backward_weights(const struct layer *l, struct device *d, struct layer_io *io,
                             float scale);
bool linear_fuses_act(const struct layer *l, enum run_mode run);
char *linear_describe(const struct layer *l, char *text, size_t text_bytes);

#endif
