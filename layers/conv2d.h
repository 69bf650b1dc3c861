/* What conv2d.c shares with the other layers whose kernel is square: conv_transpose2d.c and
 * darknet_conv.c. */
#ifndef LAYERS_CONV2D_H
#define LAYERS_CONV2D_H

#include "layers/layer.h"

/* A convolution of the images `in`, (n, c, h, w) -> (n, out_channels, oh, ow). */
struct conv2d_dims conv2d_dims_of(const struct tensor *in, int out_channels, int kernel, int stride,
                                  int pad);

/* For plans: -EINVAL and a sentence where the kernel is larger than the padded images. */
int conv2d_want_room(const struct layer *l, const struct tensor *in, int kernel, int pad);

#endif
