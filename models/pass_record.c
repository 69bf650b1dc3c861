/* Runs of layers, recorded and replayed: see pass_record.h. */
#include "models/pass_record.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"

struct run {
    int from, to;
    bool varies;
};

static bool varies(const struct pass *p, int i)
{
    const struct layer *l = p->layer[i].layer;
    return l->ops->varies && l->ops->varies(l, p->run);
}

/* The run that layer i is in. backward_weights is one: no layer that varies has parameters. */
static struct run run_of(const struct pass *p, enum pass_way way, int i)
{
    if (way == WAY_BACKWARD_WEIGHTS)
        return (struct run){0, p->nlayer, false};
    struct run r = {i, i + 1, varies(p, i)};
    while (!r.varies && r.from > 0 && !varies(p, r.from - 1))
        r.from--;
    while (!r.varies && r.to < p->nlayer && !varies(p, r.to))
        r.to++;
    return r;
}

/* recording NULL: queued as it is. */
static void do_run(struct pass *p, const struct run *r, struct recording **recording,
                   pass_run_fn *fn, float scale)
{
    struct device *d = p->model->dev;
    if (!recording || r->varies) {
        fn(p, r->from, r->to, scale);
        return;
    }
    if (!*recording) {
        d->ops->record(d);
        fn(p, r->from, r->to, scale);
        *recording = d->ops->recorded(d);
    }
    d->ops->replay(d, *recording);
}

static void forget(struct pass *p, struct pass_recorded *r)
{
    struct device *d = p->model->dev;
    for (int i = 0; i < p->nlayer; i++) {
        d->ops->recording_free(d, r->run[i]);
        r->run[i] = NULL;
    }
}

static bool same(const struct pass_key *a, const struct pass_key *b)
{
    return a->n == b->n && a->grads == b->grads && a->scale == b->scale;
}

void pass_record_run(struct pass *p, enum pass_way way, pass_run_fn *fn, float scale)
{
    struct pass_recorded *r = &p->recorded[way];
    struct pass_key now = {p->n, p->model->grads_kind, scale};
    bool again = same(&now, &r->last), use = r->run && (again || same(&now, &r->key));
    r->last = now;
    if (use && !same(&now, &r->key)) {
        forget(p, r);
        r->key = now;
    }
    bool forward = way == WAY_FORWARD;
    for (int i = forward ? 0 : p->nlayer - 1; i >= 0 && i < p->nlayer;) {
        struct run run = use ? run_of(p, way, i) : (struct run){0, p->nlayer, false};
        do_run(p, &run, use ? &r->run[run.from] : NULL, fn, scale);
        i = forward ? run.to : run.from - 1;
    }
}

int pass_record_open(struct pass *p)
{
    for (int way = 0; way < WAY_COUNT && p->model->dev->ops->record; way++) {
        struct pass_recorded *r = &p->recorded[way];
        r->run = calloc((size_t)p->nlayer, sizeof(*r->run));
        if (!r->run)
            return err_set(ENOMEM, "no memory for a pass through %d layers", p->nlayer);
    }
    return 0;
}

void pass_record_close(struct pass *p)
{
    for (int way = 0; way < WAY_COUNT; way++) {
        if (p->recorded[way].run)
            forget(p, &p->recorded[way]);
        free(p->recorded[way].run);
    }
}
