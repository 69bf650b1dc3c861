/*
 * Lays out a pass: which tensors exist, which share memory, when each is needed, where it lies. Its
 * moments: forward of layer i, then the loss, then backward_data from the last layer to the first,
 * then backward_weights likewise, then the end.
 */
#include "models/pass_plan.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "models/pass_slots.h"

struct planner {
    struct pass *p;
    struct slots slots;
    int *readers;                /* of each value: how many layers (and the slice's end) read it */
    int *value_slot, *grad_slot; /* of each value; -1: none */
    bool *written_by_one;        /* of each value's slot: no other value lies there */
    int (*saved_slot)[LAYER_MAX_SAVED];
    int work_slot;
};

static int at_forward(const struct pass *p, int i)
{
    return i;
}

static int at_loss(const struct pass *p)
{
    return p->nlayer;
}

static int at_backward_data(const struct pass *p, int i)
{
    return 2 * p->nlayer - i;
}

static int at_end(const struct pass *p)
{
    return 3 * p->nlayer + 1;
}

/* The last moment at which backward of layer i reads what it keeps. */
static int at_backward_end(const struct pass *p, int i)
{
    return p->layer[i].trained ? 3 * p->nlayer - i : at_backward_data(p, i);
}

static void planner_close(struct planner *r)
{
    slots_close(&r->slots);
    free(r->readers);
    free(r->value_slot);
    free(r->grad_slot);
    free(r->written_by_one);
    free(r->saved_slot);
}

static int planner_open(struct planner *r, struct pass *p)
{
    size_t nvalue = (size_t)p->nlayer + 1;
    *r = (struct planner){.p = p};
    r->readers = calloc(nvalue, sizeof(*r->readers));
    r->value_slot = calloc(nvalue, sizeof(*r->value_slot));
    r->grad_slot = calloc(nvalue, sizeof(*r->grad_slot));
    r->written_by_one = calloc(nvalue, sizeof(*r->written_by_one));
    r->saved_slot = calloc(nvalue, sizeof(*r->saved_slot));
    if (!r->readers || !r->value_slot || !r->grad_slot || !r->written_by_one || !r->saved_slot)
        return err_set(ENOMEM, "no memory to plan a pass through %d layers", p->nlayer);
    return slots_open(&r->slots, (2 + LAYER_MAX_SAVED) * (p->nlayer + 1) + 1);
}

/* Connections as values of this slice, shapes for a full batch, and who reads what. */
static int plan_shapes(struct planner *r)
{
    struct pass *p = r->p;
    const struct model *m = p->model;
    int entry = model_producer(m, m->from);
    p->value[0] = model_crossing(m, m->from, p->batch);
    for (int i = 0; i < p->nlayer; i++) {
        struct pass_layer *pl = &p->layer[i];
        struct tensor in[LAYER_MAX_IN];
        pl->layer = m->layer[m->from + i];
        for (int j = 0; j < pl->layer->nin; j++) {
            int global = pl->layer->input[j];
            pl->input[j] = global == entry ? 0 : global - m->from + 1;
            CHECK(pl->input[j] >= 0 && pl->input[j] <= i);
            r->readers[pl->input[j]]++;
            in[j] = p->value[pl->input[j]];
        }
        int ret = pl->layer->ops->plan(pl->layer, in, p->run, &pl->plan);
        if (ret < 0)
            return err_prefix(ret, "model %s", m->name);
        p->value[i + 1] = pl->plan.out;
        for (int j = 0; j < pl->layer->nparam; j++)
            if (pl->layer->param[j].grad)
                pl->trained = p->run == RUN_TRAIN;
    }
    p->out = model_producer(m, m->to) - m->from + 1;
    r->readers[p->out]++;
    return 0;
}

/* An activation whose input nobody else reads goes into the epilogue of the layer before. */
static void plan_fusion(struct planner *r)
{
    struct pass *p = r->p;
    for (int i = 1; i < p->nlayer && !p->model->naive; i++) {
        struct pass_layer *pl = &p->layer[i];
        int v = pl->input[0];
        if (pl->layer->act == ACT_NONE || v == 0 || r->readers[v] != 1)
            continue;
        struct pass_layer *before = &p->layer[v - 1];
        if (!before->layer->ops->fuses_act || before->plan.reads_out ||
            !before->layer->ops->fuses_act(before->layer, p->run))
            continue;
        before->io.act = pl->layer->act;
        pl->fused = true;
    }
}

/* Whether layer i's output may lie in the memory of its first input. */
static bool shares_value(const struct planner *r, int i)
{
    const struct pass_layer *pl = &r->p->layer[i];
    int v = pl->input[0];
    if (r->p->model->naive)
        return false;
    if (pl->plan.alias)
        return true;
    if (!pl->plan.in_place || v == 0 || r->readers[v] != 1 || !r->written_by_one[v])
        return false;
    return !pl->plan.reads_in && !r->p->layer[v - 1].plan.reads_out;
}

static void plan_value_slots(struct planner *r, const struct pass_ends *ends)
{
    struct pass *p = r->p;
    r->value_slot[0] = slots_add(&r->slots, tensor_bytes(&p->value[0]), ends->in);
    for (int i = 0; i < p->nlayer; i++) {
        int v = i + 1, shared = r->value_slot[p->layer[i].input[0]];
        void *lent = v == p->out ? ends->out : NULL;
        bool share = shares_value(r, i);
        if (share && lent && r->slots.slot[shared].lent)
            share = false; /* from one lent end to the other: a copy */
        r->written_by_one[v] = !share;
        if (!share) {
            r->value_slot[v] = slots_add(&r->slots, tensor_bytes(&p->value[v]), lent);
            continue;
        }
        CHECK(tensor_bytes(&p->value[v]) == tensor_bytes(&p->value[p->layer[i].input[0]]));
        r->value_slot[v] = shared;
        r->written_by_one[p->layer[i].input[0]] = false;
        if (lent)
            r->slots.slot[shared].lent = lent;
    }
}

/* Which values want a gradient, which layers run backward, and who sets and who adds. */
static int plan_gradients(struct planner *r, bool want_din)
{
    struct pass *p = r->p;
    bool *wants = calloc((size_t)p->nlayer + 1, 2 * sizeof(*wants));
    if (!wants)
        return err_set(ENOMEM, "no memory to plan a pass through %d layers", p->nlayer);
    bool *has = wants + p->nlayer + 1;
    wants[0] = want_din;
    for (int i = 0; i < p->nlayer; i++) {
        wants[i + 1] = p->layer[i].trained;
        for (int j = 0; j < p->layer[i].layer->nin; j++)
            wants[i + 1] |= wants[p->layer[i].input[j]];
    }
    has[p->out] = wants[p->out] && p->run == RUN_TRAIN;
    for (int i = p->nlayer - 1; i >= 0; i--) {
        struct pass_layer *pl = &p->layer[i];
        pl->backward = has[i + 1];
        for (int j = 0; j < pl->layer->nin && pl->backward; j++) {
            int v = pl->input[j];
            if (!wants[v])
                continue;
            pl->io.mode[j] = has[v] ? GRAD_ADD : GRAD_SET;
            has[v] = true;
        }
    }
    free(wants);
    return 0;
}

/* Whether the gradient of layer i's first input may lie over that of its output. What is lent as
 * dout is only read: it may be handed on, but not written. */
static bool shares_grad(const struct planner *r, int i, const struct pass_ends *ends)
{
    const struct pass_layer *pl = &r->p->layer[i];
    int dout = r->grad_slot[i + 1], v = pl->input[0];
    if (r->p->model->naive)
        return false;
    if (pl->trained || pl->io.mode[0] != GRAD_SET || !(pl->plan.alias || pl->plan.grad_in_place))
        return false;
    if (!ends->dout || dout != r->grad_slot[r->p->out])
        return true;
    return pl->plan.alias && v != 0 && r->readers[v] == 1;
}

static void plan_grad_slots(struct planner *r, const struct pass_ends *ends)
{
    struct pass *p = r->p;
    for (int v = 0; v <= p->nlayer; v++)
        r->grad_slot[v] = -1;
    for (int i = p->nlayer - 1; i >= 0; i--) {
        struct pass_layer *pl = &p->layer[i];
        if (!pl->backward)
            continue;
        CHECK(i + 1 != p->out || ends->dout || p->model->to == p->model->nlayer);
        if (i + 1 == p->out)
            r->grad_slot[p->out] =
                slots_add(&r->slots, tensor_bytes(&p->value[p->out]), ends->dout);
        for (int j = 0; j < pl->layer->nin; j++) {
            int v = pl->input[j];
            if (pl->io.mode[j] != GRAD_SET)
                continue;
            void *lent = v == 0 ? ends->din : NULL;
            if (j > 0 || !shares_grad(r, i, ends)) {
                r->grad_slot[v] = slots_add(&r->slots, tensor_bytes(&p->value[v]), lent);
                continue;
            }
            r->grad_slot[v] = r->grad_slot[i + 1];
            if (lent)
                r->slots.slot[r->grad_slot[v]].lent = lent;
        }
    }
}

static void plan_scratch(struct planner *r)
{
    struct pass *p = r->p;
    size_t work = 0;
    for (int i = 0; i < p->nlayer; i++) {
        const struct pass_layer *pl = &p->layer[i];
        struct tensor in[LAYER_MAX_IN];
        for (int j = 0; j < pl->layer->nin; j++)
            in[j] = p->value[pl->input[j]];
        for (int j = 0; j < pl->plan.nsaved; j++)
            r->saved_slot[i][j] = slots_add(&r->slots, tensor_bytes(&pl->plan.saved[j]), NULL);
        if (!pl->layer->ops->work_bytes)
            continue;
        size_t bytes = pl->layer->ops->work_bytes(pl->layer, p->model->dev, in, p->run);
        work = bytes > work ? bytes : work;
    }
    r->work_slot = slots_add(&r->slots, work, NULL);
    slots_use(&r->slots, r->work_slot, 0);
    slots_use(&r->slots, r->work_slot, at_end(p));
}

static void plan_lifetimes(struct planner *r)
{
    struct pass *p = r->p;
    for (int i = 0; i < p->nlayer; i++) {
        const struct pass_layer *pl = &p->layer[i];
        int forward = at_forward(p, i), data = at_backward_data(p, i), end = at_backward_end(p, i);
        slots_use(&r->slots, r->value_slot[i + 1], forward);
        if (pl->backward && pl->plan.reads_out)
            slots_use(&r->slots, r->value_slot[i + 1], end);
        for (int j = 0; j < pl->layer->nin; j++) {
            int v = pl->input[j];
            slots_use(&r->slots, r->value_slot[v], forward);
            if (pl->backward && pl->plan.reads_in)
                slots_use(&r->slots, r->value_slot[v], end);
            if (pl->io.mode[j] != GRAD_NONE)
                slots_use(&r->slots, r->grad_slot[v], data);
        }
        for (int j = 0; j < pl->plan.nsaved; j++) {
            slots_use(&r->slots, r->saved_slot[i][j], forward);
            slots_use(&r->slots, r->saved_slot[i][j], pl->backward ? end : forward);
        }
        if (!pl->backward)
            continue;
        slots_use(&r->slots, r->grad_slot[i + 1], data);
        slots_use(&r->slots, r->grad_slot[i + 1], end);
    }
    slots_use(&r->slots, r->value_slot[p->out], at_end(p));
    if (r->grad_slot[p->out] >= 0)
        slots_use(&r->slots, r->grad_slot[p->out], at_loss(p));
    for (int i = 0; i < r->slots.count && p->model->naive; i++) {
        slots_use(&r->slots, i, at_forward(p, 0));
        slots_use(&r->slots, i, at_end(p));
    }
}

static void *slot_memory(const struct planner *r, int slot, enum place *place)
{
    const struct slot *s = &r->slots.slot[slot];
    *place = s->lent ? PLACE_PINNED : PLACE_DEVICE;
    if (s->lent)
        return s->lent;
    return s->bytes ? (char *)r->p->mem.base + s->offset : NULL;
}

/* Addresses of all tensors, and what each layer sees of them: for ever the same. */
static void bind(struct planner *r)
{
    struct pass *p = r->p;
    enum place place;
    for (int v = 0; v <= p->nlayer; v++) {
        p->grad[v] = p->value[v];
        p->value[v].data = slot_memory(r, r->value_slot[v], &p->value[v].place);
        p->grad[v].data = NULL;
        if (r->grad_slot[v] >= 0)
            p->grad[v].data = slot_memory(r, r->grad_slot[v], &p->grad[v].place);
    }
    for (int i = 0; i < p->nlayer; i++) {
        struct pass_layer *pl = &p->layer[i];
        for (int j = 0; j < pl->layer->nin; j++) {
            pl->io.in[j] = &p->value[pl->input[j]];
            if (pl->io.mode[j] != GRAD_NONE)
                pl->io.din[j] = &p->grad[pl->input[j]];
        }
        pl->io.out = &p->value[i + 1];
        if (pl->backward)
            pl->io.dout = &p->grad[i + 1];
        for (int j = 0; j < pl->plan.nsaved; j++) {
            pl->io.saved[j] = pl->plan.saved[j];
            pl->io.saved[j].data = slot_memory(r, r->saved_slot[i][j], &pl->io.saved[j].place);
        }
        pl->io.work = slot_memory(r, r->work_slot, &place);
        pl->io.run = p->run;
    }
}

int pass_plan(struct pass *p, const struct pass_ends *ends)
{
    struct planner r;
    bool want_din = p->run == RUN_TRAIN && ends->din;
    int ret = planner_open(&r, p);
    if (ret == 0)
        ret = plan_shapes(&r);
    if (ret == 0)
        ret = plan_gradients(&r, want_din);
    if (ret == 0) {
        plan_fusion(&r);
        plan_value_slots(&r, ends);
        plan_grad_slots(&r, ends);
        plan_scratch(&r);
        plan_lifetimes(&r);
        size_t bytes = slots_place(&r.slots);
        ret = buffer_open(&p->mem, p->model->dev, PLACE_DEVICE, bytes, "activations and gradients");
    }
    if (ret == 0)
        bind(&r);
    planner_close(&r);
    return ret;
}
