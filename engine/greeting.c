/* Fills the handshake's structs from the node and its stream; net/hello.c compares them. */
#include "engine/greeting.h"

#include <stdio.h>
#include <unistd.h>

#include "base/err.h"

enum dtype greeting_dtype(enum wire_dtype wire)
{
    CHECK(wire == WIRE_F32 || wire == WIRE_F16);
    return wire == WIRE_F16 ? DTYPE_F16 : DTYPE_F32;
}

enum wire_dtype greeting_wire(enum dtype dtype)
{
    CHECK(dtype == DTYPE_F32 || dtype == DTYPE_F16);
    return dtype == DTYPE_F16 ? WIRE_F16 : WIRE_F32;
}

static void set_node_name(char *name)
{
    if (gethostname(name, HELLO_NAME_BYTES) < 0)
        name[0] = '\0';
    name[HELLO_NAME_BYTES - 1] = '\0';
}

struct hello greeting_hello(const struct node *node, const struct stream *s,
                            const struct stream_plan *plan, int codec, uint64_t step)
{
    const struct model *m = node->model;
    const struct tensor *t = stream_next_tensor(s);
    bool infers = plan->in_flight > 0;
    struct hello h = {
        .mode = infers ? HELLO_INFER : HELLO_TRAIN,
        .model_hash = model_hash(m),
        .layer_from = (uint32_t)m->from,
        .layer_to = (uint32_t)m->to,
        .batch = (uint32_t)plan->batch,
        .micro_batches = infers ? 1 : (uint32_t)plan->micro_batches,
        .in_flight = (uint32_t)(infers ? plan->in_flight : plan->micro_batches),
        .dtype = greeting_wire(plan->wire),
        .codec = (uint32_t)codec,
        .ndim = (uint32_t)t->ndim,
        .want_gradient = !infers && m->to > m->from,
        .answer = plan->boxes ? HELLO_BOXES : HELLO_RAW,
        .conf = plan->limits.conf,
        .nms = plan->limits.nms,
        .classes = (uint32_t)m->classes,
        .seed = plan->seed,
        .rounds = plan->rounds,
        .step = step,
    };
    snprintf(h.model, sizeof(h.model), "%s", m->name);
    set_node_name(h.node);
    for (int i = 0; i < t->ndim; i++)
        h.dim[i] = (uint32_t)t->dim[i];
    return h;
}

struct hello_want greeting_want(const struct node *node, enum hello_mode mode, int batch,
                                int micro_batches, int wire, int codec)
{
    const struct model *m = node->model;
    struct tensor t = model_crossing(m, m->from, 1);
    struct hello_want w = {
        .mode = mode,
        .model = m->name,
        .model_hash = model_hash(m),
        .layer_from = (uint32_t)m->from,
        .batch = (uint32_t)batch,
        .micro_batches = (uint32_t)micro_batches,
        .dtype = wire < 0 ? -1 : (int)greeting_wire((enum dtype)wire),
        .codec = codec,
        .ndim = (uint32_t)t.ndim,
        .classes = (uint32_t)m->classes,
    };
    for (int i = 0; i < t.ndim; i++)
        w.dim[i] = (uint32_t)t.dim[i];
    return w;
}

struct answer greeting_accept(const struct node *node)
{
    struct answer a = {
        .verdict = ANSWER_ACCEPT,
        .layer_from = (uint32_t)node->model->from,
        .layer_to = (uint32_t)node->model->to,
        .step = node->steps,
    };
    set_node_name(a.node);
    return a;
}
