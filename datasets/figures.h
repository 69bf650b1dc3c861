/*
 * The ten kinds of figures that the embedded pictures show: `shapes` (shapes.c), one a picture, and
 * scenes (scene.c), several. A figure is a signed distance, negative inside, in coordinates of its
 * own, so that its edge is smooth at any turn and size; all of it lies within 1.1 units of
 * (0, 0).
 */
#ifndef DATASETS_FIGURES_H
#define DATASETS_FIGURES_H

enum { FIGURES = 10, FIGURE_RUN = 16 };

/* Distances d of the points (u, v), FIGURE_RUN of each. */
extern void (*const figure_distance[FIGURES])(float *restrict d, const float *restrict u,
                                              const float *restrict v);
/* How much of a pixel is covered, 0 to 1, whose middle is so many pixels outside the figure. */
static inline float figure_cover(float pixels)
{
    float cover = 0.5f - pixels;
    cover = cover > 0.0f ? cover : 0.0f;
    return cover < 1.0f ? cover : 1.0f;
}

extern const char *const figure_name[FIGURES];

#endif
