/*
 * Building darknet's models section by section: what their built-in definitions (yolov3.c) and the
 * reader of .cfg files (darknet_cfg.c) share. A section is one layer; shapes are known as soon as
 * it is added, so that what does not fit is refused where it stands.
 *
 *     struct darknet_builder b;
 *     darknet_begin(&b, m);                        // the model has begun
 *     darknet_add_convolutional(&b, &(struct darknet_conv_dims){.filters = 32, .size = 3, ...});
 *     darknet_add_yolo(&b, 80, 3, anchor, true);
 *     darknet_end(&b);                             // then model_finish
 */
#ifndef MODELS_DARKNET_H
#define MODELS_DARKNET_H

#include "layers/darknet.h"
#include "models/build.h"

/* Limits that no network comes near, so that sizes stay within an int and a file cannot ask for
 * memory without end. */
enum {
    DARKNET_MAX_LAYERS = 1024,
    DARKNET_MAX_INPUT = 8192, /* pixels of a side */
    DARKNET_MAX_CHANNELS = 1 << 16,
    DARKNET_MAX_KERNEL = 31,
    DARKNET_MAX_POOL = 16,
    DARKNET_MAX_CLASSES = 10000,
    DARKNET_MAX_VALUES = 1 << 29, /* of a layer's weights, and of its output for one sample */
};

struct darknet_builder {
    struct model *m;
    struct tensor out[DARKNET_MAX_LAYERS]; /* of each layer, one sample */
    int yolo[LAYER_MAX_IN], nyolo;
    int first_shortcut, second_maxpool; /* layers, 0: none yet */
    int npool;
};

void darknet_begin(struct darknet_builder *b, struct model *m);

/* -EINVAL and a sentence where the layer does not fit what it gets. `channels` of dims is filled
 * here. */
int darknet_add_convolutional(struct darknet_builder *b, const struct darknet_conv_dims *dims);
/* darknet's padding: of all rows and columns added, half (rounded down) lie before the image. */
int darknet_add_maxpool(struct darknet_builder *b, int size, int stride, int padding);
int darknet_add_upsample(struct darknet_builder *b, int factor);
/* from: numbers of layers that are there. */
int darknet_add_route(struct darknet_builder *b, int n, const int from[]);
int darknet_add_shortcut(struct darknet_builder *b, int from, enum act act);
/* last: no head follows; this one gathers them all. */
int darknet_add_yolo(struct darknet_builder *b, int classes, int anchors, const float anchor[][2],
                     bool last);

/* Sets what the model says of itself: boxes, classes, default cut: as the original's, behind the
 * first residual block; behind the second max-pool, as VGG's, where there is none. */
void darknet_end(struct darknet_builder *b);

int yolov3_build(struct model *m, const struct model_options *opt);
int yolov3_tiny_build(struct model *m, const struct model_options *opt);

/* shapes-yolo, which the program brings along with its weights: models/shapes-yolo.cfg. */
int shapes_yolo_open(struct model **m, const struct model_options *opt);

/* A model from a .cfg file: sections net, convolutional, maxpool, upsample, route, shortcut, yolo.
 * What the file holds and should not is -EBADMSG and a sentence with file and line. */
int darknet_cfg_open(struct model **m, const char *path, const struct model_options *opt);
/* The same of the text of one, in memory. */
int darknet_cfg_open_text(struct model **m, const char *name, const char *text, size_t bytes,
                          const struct model_options *opt);

/* -EINVAL and a sentence where an option is set that darknet's models do not have. */
int darknet_check_options(const char *name, const struct model_options *opt);

#endif
