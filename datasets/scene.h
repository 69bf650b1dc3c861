/*
 * Scenes: pictures of any size with several of the figures of the embedded data set on them, and
 * where those are. What the model shapes-yolo was trained on, what it looks at where no pictures
 * are given, and what it is tested with. A scene is a function of (seed, number) and of its size.
 *
 *     struct picture p;
 *     struct scene_box box[SCENE_MAX_BOXES];
 *     int w, h;
 *     scene_size(number, &w, &h);
 *     if (picture_new(&p, w, h) < 0) ...
 *     int n = scene_draw(&p, box, seed, number);
 */
#ifndef DATASETS_SCENE_H
#define DATASETS_SCENE_H

#include <stdint.h>

#include "datasets/picture.h"

enum { SCENE_MAX_BOXES = 7 };

/* Training draws scenes of smaller numbers; what a model is shown and measured with begins here. */
#define SCENE_HELD_OUT UINT32_C(0x80000000)

/* The visible part of a figure, in pixels of the picture: x1, y1 included, x2, y2 not. */
struct scene_box {
    int class; /* of figure_name */
    int x1, y1, x2, y2;
};

/* A size that suits a scene of that number: broad, high and square ones in turn. */
void scene_size(uint32_t number, int *w, int *h);

/* Draws over all of p; how many boxes. Cannot fail. */
int scene_draw(struct picture *p, struct scene_box box[SCENE_MAX_BOXES], uint64_t seed,
               uint32_t number);

#endif
