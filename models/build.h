/*
 * For the files that define models (small.c, vgg.c): a model grows layer by layer.
 *
 *     struct model *m;
 *     int ret = model_begin(&m, "small", &in);
 *     ret = model_add(m, flatten_new(), "flatten");            // reads the layer before it
 *     ret = model_add_from(m, shortcut_new(), "shortcut", 2, (int[]){0, 3});
 *     ret = model_finish(m);                                   // plans all shapes
 */
#ifndef MODELS_BUILD_H
#define MODELS_BUILD_H

#include "models/model.h"

/* `in`: one sample, dim[0] = 1. -ENOMEM and a sentence. */
int model_begin(struct model **m, const char *name, const struct tensor *in);

/* Appends a layer that reads the one before it (the first: the model's input); `name` goes before
 * the names of its parameters. Takes l, also when it fails; l NULL is the constructor's -ENOMEM. */
int model_add(struct model *m, struct layer *l, const char *name);

/* The same for a layer that reads the outputs of these layers, -1 for the model's input. */
int model_add_from(struct model *m, struct layer *l, const char *name, int nin, const int input[]);

/* Plans every layer's shape for one sample and makes all of the model this node's slice. */
int model_finish(struct model *m);

/* The definitions. The model has begun; they add layers and set classes and default_cut. */
int small_build(struct model *m, const struct model_options *opt);
int vgg11_build(struct model *m, const struct model_options *opt);
int vgg16_build(struct model *m, const struct model_options *opt);
int vgg19_build(struct model *m, const struct model_options *opt);

/* The original's units around a cut: divides `channels` by opt->codec on the way. Makes the place
 * between them the default cut. */
int codec_add(struct model *m, int channels, int factor);

#endif
