/* The copy into a border of zeros, plane by plane over the pool. */
#include "kernels/cpu/pad.h"

#include <string.h>

enum { JOB_FLOATS = 16 << 10, LINE = 16 };

struct padded CPU(pad_plan)(int n, int c, int h, int w, int top, int left, int ph, int pw)
{
    struct padded p = {n, c, h, w, top, left, ph, pw, .in_place = 0};
    if (top == 0 && left == 0 && ph <= h && pw <= w) {
        p.in_place = 1;
        p.row = w;
        p.plane = (ptrdiff_t)h * w;
        p.image = c * p.plane;
        return p;
    }
    p.row = pw;
    p.plane = (ptrdiff_t)ph * pw;
    if (p.plane % 256 == 0)
        p.plane += LINE; /* planes 1 KiB apart would share few sets of the caches */
    p.image = (c * p.plane + LINE - 1) / LINE * LINE;
    if (p.image / LINE % 2 == 0)
        p.image += LINE; /* so would images */
    return p;
}

size_t CPU(pad_bytes)(const struct padded *p)
{
    return p->in_place ? 0 : (size_t)p->n * (size_t)p->image * sizeof(float);
}

struct pad_run {
    const struct padded *p;
    const float *src;
    float *dst;
    int planes; /* of one job */
};

static void pad_plane(const struct padded *p, float *dst, const float *src)
{
    int rows = p->ph - p->top < p->h ? p->ph - p->top : p->h;
    int cols = p->pw - p->left < p->w ? p->pw - p->left : p->w;
    int right = p->pw - p->left - cols;
    size_t gap = (size_t)(right + p->left); /* zeros from one row's end to the next one's start */
    size_t before = (size_t)p->top * (size_t)p->row + (size_t)p->left;
    memset(dst, 0, before * sizeof(float));
    float *to = dst + before;
    for (int y = 0; y < rows; y++) {
        for (int x = 0; x < cols; x++)
            to[x] = src[x];
        to += cols;
        src += p->w;
        if (y + 1 < rows)
            for (size_t x = 0; x < gap; x++)
                *to++ = 0;
    }
    memset(to, 0, (size_t)(dst + p->plane - to) * sizeof(float));
}

static void pad_job(void *arg, int job, int worker)
{
    const struct pad_run *r = arg;
    const struct padded *p = r->p;
    long from = (long)job * r->planes, to = from + r->planes, all = (long)p->n * p->c;
    for (long i = from; i < to && i < all; i++)
        pad_plane(p, r->dst + i / p->c * p->image + i % p->c * p->plane,
                  r->src + (size_t)i * (size_t)p->h * (size_t)p->w);
}

const float *CPU(pad_run)(struct pool *pool, const struct padded *p, const float *src, void *work)
{
    if (p->in_place)
        return src;
    struct pad_run r = {p, src, work, (int)(JOB_FLOATS / p->plane + 1)};
    long all = (long)p->n * p->c;
    pool_run(pool, (int)((all + r.planes - 1) / r.planes), pad_job, &r);
    return work;
}
