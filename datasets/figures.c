/* The distances of the ten figures, FIGURE_RUN points at a time, which compilers turn into vectors.
 * They are exact to first order at the edge and need no square root. */
#include "datasets/figures.h"

#include <math.h>

static inline float least(float a, float b)
{
    return a < b ? a : b;
}

static inline float most(float a, float b)
{
    return a > b ? a : b;
}

/* The disc of radius r, its distance to first order, from the squared distance of its centre. */
static inline float disc(float square, float r)
{
    return (square - r * r) * (0.5f / r);
}

static inline float box(float u, float v, float a, float b)
{
    return most(fabsf(u) - a, fabsf(v) - b);
}

static inline float circle(float u, float v)
{
    return disc(u * u + v * v, 0.75f);
}

static inline float square(float u, float v)
{
    return box(u, v, 0.68f, 0.68f);
}

static inline float triangle(float u, float v)
{
    return most(v - 0.45f, 0.8660254f * fabsf(u) - 0.5f * v - 0.45f);
}

static inline float cross(float u, float v)
{
    return least(box(u, v, 0.9f, 0.25f), box(u, v, 0.25f, 0.9f));
}

static inline float ring(float u, float v)
{
    return fabsf(disc(u * u + v * v, 0.65f)) - 0.16f;
}

/* Five half planes: inside the star a point may be outside one of them. */
static inline float star(float u, float v)
{
    static const float cosine[5] = {0.0f, 0.95105652f, 0.58778525f, -0.58778525f, -0.95105652f};
    static const float sine[5] = {1.0f, 0.30901699f, -0.80901699f, -0.80901699f, 0.30901699f};
    float first = -8.0f, second = -8.0f;
    for (int i = 0; i < 5; i++) {
        float d = u * cosine[i] + v * sine[i];
        second = most(second, least(first, d));
        first = most(first, d);
    }
    return second - 0.31f;
}

static inline float bar(float u, float v)
{
    return box(u, v, 0.9f, 0.22f);
}

static inline float crescent(float u, float v)
{
    float w = u - 0.42f;
    return most(disc(u * u + v * v, 0.8f), -disc(w * w + v * v, 0.62f));
}

static inline float frame(float u, float v)
{
    return fabsf(box(u, v, 0.62f, 0.62f)) - 0.15f;
}

static inline float dots(float u, float v)
{
    float w = fabsf(u) - 0.5f;
    return disc(w * w + v * v, 0.32f);
}

#define FIGURE(name)                                                                            \
    static void name##_run(float *restrict d, const float *restrict u, const float *restrict v) \
    {                                                                                           \
        for (int i = 0; i < FIGURE_RUN; i++)                                                    \
            d[i] = name(u[i], v[i]);                                                            \
    }
FIGURE(circle)
FIGURE(square)
FIGURE(triangle)
FIGURE(cross)
FIGURE(ring)
FIGURE(star)
FIGURE(bar)
FIGURE(crescent)
FIGURE(frame)
FIGURE(dots)

void (*const figure_distance[FIGURES])(float *restrict d, const float *restrict u,
                                       const float *restrict v) = {
    circle_run, square_run, triangle_run, cross_run, ring_run,
    star_run,   bar_run,    crescent_run, frame_run, dots_run};
const char *const figure_name[FIGURES] = {"circle", "square", "triangle", "cross", "ring",
                                          "star",   "bar",    "crescent", "frame", "dots"};
