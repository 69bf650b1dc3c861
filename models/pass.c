/*
 * Runs a micro-batch through a model's slice. All planning is done at pass_open (pass_plan.c): a
 * step calls one kernel after the other on fixed addresses. Who sends and receives the ends is not
 * its business; the thread that owns the device calls it.
 */
#include "models/pass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "models/pass_record.h"

static int open_arrays(struct pass *p)
{
    size_t nlayer = (size_t)p->nlayer;
    p->layer = calloc(nlayer, sizeof(*p->layer));
    p->value = calloc(nlayer + 1, sizeof(*p->value));
    p->grad = calloc(nlayer + 1, sizeof(*p->grad));
    if (!p->layer || !p->value || !p->grad)
        return err_set(ENOMEM, "no memory for a pass through %d layers", p->nlayer);
    return 0;
}

static int open_host(struct pass *p)
{
    struct arena a = {NULL, 0};
    for (int placing = 0; placing <= 1; placing++) {
        p->loss = arena_take(&a, (size_t)p->batch * sizeof(*p->loss));
        p->labels = arena_take(&a, (size_t)p->batch * sizeof(*p->labels));
        if (placing)
            break;
        int ret = buffer_open(&p->host, p->model->dev, PLACE_PINNED, a.used, "losses and labels");
        if (ret < 0)
            return ret;
        a = (struct arena){&p->host, 0};
    }
    return 0;
}

int pass_open(struct pass **out, struct model *m, enum run_mode run, int batch,
              const struct pass_ends *ends)
{
    CHECK(m->dev && batch > 0 && ends->in);
    CHECK(run == RUN_EVAL || m->grads_kind != MODEL_GRADS_NONE);
    struct pass *p = calloc(1, sizeof(*p));
    if (!p)
        return err_set(ENOMEM, "no memory for a pass");
    p->model = m;
    p->run = run;
    p->batch = batch;
    p->nlayer = m->to - m->from;
    int ret = open_arrays(p);
    if (ret == 0)
        ret = pass_record_open(p);
    if (ret == 0)
        ret = pass_plan(p, ends);
    if (ret == 0 && m->to == m->nlayer)
        ret = open_host(p);
    if (ret < 0) {
        pass_close(p);
        return ret;
    }
    pass_set(p, batch, 0, 0, 0);
    if (run == RUN_EVAL)
        model_fold(m);
    *out = p;
    return 0;
}

void pass_close(struct pass *p)
{
    if (!p)
        return;
    pass_record_close(p);
    buffer_close(&p->host);
    buffer_close(&p->mem);
    free(p->grad);
    free(p->value);
    free(p->layer);
    free(p);
}

void pass_set(struct pass *p, int n, uint64_t seed, uint32_t step, uint64_t first_sample)
{
    CHECK(n > 0 && n <= p->batch);
    p->n = n;
    for (int v = 0; v <= p->nlayer; v++) {
        p->value[v].dim[0] = n;
        p->grad[v].dim[0] = n;
    }
    for (int i = 0; i < p->nlayer; i++) {
        p->layer[i].io.seed = seed;
        p->layer[i].io.step = step;
        p->layer[i].io.first_sample = first_sample;
    }
}

static void run_forward(struct pass *p, int from, int to, float scale)
{
    for (int i = from; i < to; i++) {
        struct pass_layer *pl = &p->layer[i];
        if (!pl->fused)
            pl->layer->ops->forward(pl->layer, p->model->dev, &pl->io);
    }
}

static void run_backward_data(struct pass *p, int from, int to, float scale)
{
    for (int i = to - 1; i >= from; i--) {
        struct pass_layer *pl = &p->layer[i];
        if (pl->backward)
            pl->layer->ops->backward_data(pl->layer, p->model->dev, &pl->io);
    }
}

static void run_backward_weights(struct pass *p, int from, int to, float scale)
{
    for (int i = to - 1; i >= from; i--) {
        struct pass_layer *pl = &p->layer[i];
        if (pl->backward && pl->trained)
            pl->layer->ops->backward_weights(pl->layer, p->model->dev, &pl->io, scale);
    }
}

void pass_forward(struct pass *p)
{
    if (p->run == RUN_EVAL)
        model_fold(p->model); /* weights may have been loaded since pass_open */
    pass_record_run(p, WAY_FORWARD, run_forward, 0);
}

void pass_loss(struct pass *p, const int32_t *labels, int n_full)
{
    struct device *d = p->model->dev;
    const struct tensor *logits = &p->value[p->out];
    CHECK(p->model->to == p->model->nlayer && logits->ndim == 2 && n_full > 0);
    memcpy(p->labels, labels,
           (size_t)p->n * sizeof(*labels)); /* into memory that a device can read */
    d->kernels->softmax_xent(d, p->loss, tensor_floats(&p->grad[p->out]), tensor_floats(logits),
                             p->labels, p->n, logits->dim[1], 1.0f / (float)n_full);
}

double pass_loss_sum(const struct pass *p)
{
    double sum = 0;
    for (int i = 0; i < p->n; i++)
        sum += p->loss[i];
    return sum;
}

void pass_backward_data(struct pass *p)
{
    CHECK(p->run == RUN_TRAIN);
    pass_record_run(p, WAY_BACKWARD_DATA, run_backward_data, 0);
}

void pass_backward_weights(struct pass *p, float scale)
{
    CHECK(p->run == RUN_TRAIN);
    pass_record_run(p, WAY_BACKWARD_WEIGHTS, run_backward_weights, scale);
}

const struct tensor *pass_out(const struct pass *p)
{
    return &p->value[p->out];
}

size_t pass_bytes(const struct pass *p)
{
    return p->mem.bytes + p->host.bytes;
}
