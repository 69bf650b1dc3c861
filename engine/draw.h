/* Boxes and labels drawn into a picture, in a colour for each class. */
#ifndef ENGINE_DRAW_H
#define ENGINE_DRAW_H

#include "datasets/picture.h"
#include "engine/detect.h"

/* The box, in the picture's pixels, and `label` over its upper left corner; what lies outside is
 * cut off. */
void draw_box(struct picture *p, const struct box *b, const char *label);

#endif
