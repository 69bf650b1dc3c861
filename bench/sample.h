/* Timings of one thing, in milliseconds: as many as fit into a time, and their quantiles. */
#ifndef BENCH_SAMPLE_H
#define BENCH_SAMPLE_H

#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"

enum { SAMPLE_MAX = 1 << 17, SAMPLE_MIN = 5 };

struct sample {
    double *ms;
    int n;
    uint64_t start_ns;
    double seconds; /* to fill */
};

static inline void sample_open(struct sample *s, double seconds)
{
    *s = (struct sample){.ms = malloc(SAMPLE_MAX * sizeof(double)), .seconds = seconds};
    CHECK(s->ms);
    s->start_ns = clock_now_ns();
}

static inline void sample_close(struct sample *s)
{
    free(s->ms);
}

/* Until the time is over, but five times at least. */
static inline int sample_more(const struct sample *s)
{
    if (s->n < SAMPLE_MIN)
        return 1;
    return s->n < SAMPLE_MAX && clock_seconds_since(s->start_ns) < s->seconds;
}

static inline void sample_add(struct sample *s, uint64_t start_ns)
{
    if (s->n < SAMPLE_MAX)
        s->ms[s->n++] = 1e3 * clock_seconds_since(start_ns);
}

static inline int sample_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts; then q 0.5 is the median, 0 the least. */
static inline void sample_sort(struct sample *s)
{
    qsort(s->ms, (size_t)s->n, sizeof(double), sample_order);
}

static inline double sample_quantile(const struct sample *s, double q)
{
    return s->ms[(int)(q * (s->n - 1) + 0.5)];
}

#endif
