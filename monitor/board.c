/* The board's memory is fixed; points are thinned where it is full. */
#include "monitor/board.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

struct board *board_new(bool has_gpu, double rate, const char *interface)
{
    struct board *b = calloc(1, sizeof(*b));
    char host[EVENT_ABOUT_BYTES] = "";
    if (!b)
        return NULL;
    pthread_mutex_init(&b->lock, NULL);
    if (gethostname(host, sizeof(host) - 1) < 0 || !*host)
        strcpy(host, "node");
    event_clean(b->host, sizeof(b->host), host);
    event_clean(b->interface, sizeof(b->interface), interface ? interface : "all");
    b->has_gpu = has_gpu;
    b->rate = rate;
    b->line.stride = 1;
    return b;
}

void board_free(struct board *b)
{
    if (!b)
        return;
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* data: an array of points of this many bytes, beside the line. NULL: this sample is not kept. */
static void *add_point(struct board_line *l, void *data, size_t bytes, uint64_t n, double time)
{
    char *point = data;
    if (l->count == BOARD_POINTS && n % l->stride == 0) {
        l->stride *= 2;
        l->count = 0;
        for (int i = 0; i < BOARD_POINTS; i++) {
            if (l->n[i] % l->stride)
                continue;
            l->n[l->count] = l->n[i];
            l->time[l->count] = l->time[i];
            memmove(point + (size_t)l->count++ * bytes, point + (size_t)i * bytes, bytes);
        }
    }
    if (n % l->stride)
        return NULL;
    l->n[l->count] = n;
    l->time[l->count] = time;
    return point + (size_t)l->count++ * bytes;
}

static void copy_points(struct board_line *to, void *to_data, const struct board_line *from,
                        const void *from_data, size_t bytes, uint64_t since)
{
    int first = 0;
    while (first < from->count && from->n[first] <= since)
        first++;
    size_t count = (size_t)(from->count - first);
    to->stride = from->stride;
    to->count = (int)count;
    memcpy(to->n, from->n + first, count * sizeof(*to->n));
    memcpy(to->time, from->time + first, count * sizeof(*to->time));
    memcpy(to_data, (const char *)from_data + (size_t)first * bytes, count * bytes);
}

void board_tick(struct board *b, double time, double unix_time, const struct host_sample *host)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    b->n++;
    b->time = time;
    b->unix_time = unix_time;
    b->now = *host;
    struct host_sample *p = add_point(&b->line, b->point, sizeof(*b->point), b->n, time);
    if (p)
        *p = *host;
    pthread_mutex_unlock(&b->lock);
}

void board_message(struct board *b, bool ignored)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    *(ignored ? &b->ignored : &b->events) += 1;
    pthread_mutex_unlock(&b->lock);
}

static struct board_run *free_place(struct board *b)
{
    struct board_run *oldest = NULL;
    for (struct board_run *r = b->run; r < b->run + BOARD_RUNS; r++) {
        if (!r->used)
            return r;
        if (!r->live && (!oldest || r->end < oldest->end))
            oldest = r;
    }
    CHECK(oldest); /* there are more places than runs that go on */
    return oldest;
}

int board_begin(struct board *b, const struct event *e, double time, double unix_time)
{
    if (!b)
        return -1;
    pthread_mutex_lock(&b->lock);
    struct board_run *r = free_place(b);
    r->used = r->live = true;
    memcpy(r->id, e->id, sizeof(r->id));
    memcpy(r->prefix, e->prefix, sizeof(r->prefix));
    r->about = e->about;
    event_about_prefix(&r->about, r->prefix);
    r->start = r->end = time;
    r->start_unix = unix_time;
    r->totals = (struct board_totals){0};
    r->line.stride = 1;
    r->line.count = 0;
    pthread_mutex_unlock(&b->lock);
    return (int)(r - b->run);
}

void board_run(struct board *b, int place, double time, const struct board_totals *t)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    struct board_run *r = &b->run[place];
    r->totals = *t;
    r->end = time;
    struct board_totals *p = add_point(&r->line, r->point, sizeof(*r->point), b->n, time);
    if (p)
        *p = *t;
    pthread_mutex_unlock(&b->lock);
}

void board_end(struct board *b, int place, double time, const struct board_totals *t)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    struct board_run *r = &b->run[place];
    r->totals = *t;
    r->end = time;
    r->live = false;
    pthread_mutex_unlock(&b->lock);
}

void board_copy(struct board *to, struct board *from, uint64_t since)
{
    size_t begin = offsetof(struct board, host), end = offsetof(struct board, line);
    pthread_mutex_lock(&from->lock);
    memcpy((char *)to + begin, (char *)from + begin, end - begin);
    copy_points(&to->line, to->point, &from->line, from->point, sizeof(*to->point), since);
    for (int i = 0; i < BOARD_RUNS; i++) {
        struct board_run *t = &to->run[i], *f = &from->run[i];
        memcpy(t, f, offsetof(struct board_run, line));
        if (f->used)
            copy_points(&t->line, t->point, &f->line, f->point, sizeof(*t->point), since);
    }
    pthread_mutex_unlock(&from->lock);
}
