/* What the training step and the inference of a stream share: micro-batches, heads, waiting. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/stream_parts.h"

struct micro stream_micro(uint32_t step, int n, int k, int index)
{
    int count = n < k ? n : k, size = n / count, larger = n % count;
    return (struct micro){
        .step = step,
        .index = index,
        .count = count,
        .first = index * size + (index < larger ? index : larger),
        .n = size + (index < larger),
        .n_full = n,
    };
}

void stream_fill_head(struct wire_head *h, enum wire_type type, const struct micro *m,
                      const struct tensor *t, enum dtype dtype)
{
    wire_head_init(h, type, 0);
    h->n_samples = (uint32_t)m->n;
    h->first_sample = (uint64_t)m->first;
    h->step = m->step;
    h->micro = (uint32_t)m->index;
    h->micro_count = (uint32_t)m->count;
    h->n_full = (uint32_t)m->n_full;
    if (!t)
        return;
    int dim[TENSOR_MAX_DIM];
    memcpy(dim, t->dim, sizeof(dim));
    dim[0] = m->n;
    wire_head_shape(h, dtype == DTYPE_F16 ? WIRE_F16 : WIRE_F32, t->ndim, dim);
}

int stream_check_micro(const struct stream *s, const struct wire_head *h, int index,
                       const struct micro *before)
{
    if (h->n_full == 0 || h->n_full > (uint32_t)s->plan.batch)
        return err_set(EPROTO, "%s sent a batch of %u samples, agreed on at most %d",
                       channel_peer(s->prev), h->n_full, s->plan.batch);
    struct micro m = stream_micro(h->step, (int)h->n_full, s->plan.micro_batches, index);
    if (h->micro != (uint32_t)index || h->micro_count != (uint32_t)m.count ||
        h->n_samples != (uint32_t)m.n || h->first_sample != (uint64_t)m.first)
        return err_set(
            EPROTO,
            "%s sent micro-batch %u of %u with %u samples from %llu, wanted %d of %d with "
            "%d from %d",
            channel_peer(s->prev), h->micro, h->micro_count, h->n_samples,
            (unsigned long long)h->first_sample, index, m.count, m.n, m.first);
    if (index > 0 && (h->step != before->step || h->n_full != (uint32_t)before->n_full))
        return err_set(EPROTO, "%s began step %u in the middle of step %u", channel_peer(s->prev),
                       h->step, before->step);
    return 0;
}

static const char *unit(const struct stream *s)
{
    return stream_infers(s) ? "request" : "step";
}

int stream_look(const struct stream *s, struct channel *c, int ret)
{
    if (ret == 0 || ret == -ETIMEDOUT || ret == -EINTR)
        return ret == 0;
    if (ret == -ENODATA)
        return err_set(EPIPE, "%s ended the stream in the middle of a %s", channel_peer(c),
                       unit(s));
    return ret;
}

int stream_look_slot(const struct stream *s, struct channel *c, uint64_t frame)
{
    uint64_t nslot = (uint64_t)s->nslot;
    int ret = stream_look(s, c, channel_wait_slot(c, 0));
    return ret == 1 && frame >= nslot ? channel_sent(c, frame - nslot) : ret;
}

int stream_wait(struct stream *s, bool answer, uint64_t since_ns, bool *stopped)
{
    int limit = answer ? s->node->answer_timeout_ms : s->node->input_timeout_ms;
    int passed = (int)(clock_seconds_since(since_ns) * 1e3);
    if (passed >= limit)
        return err_set(ETIMEDOUT, "nothing from %s for %d s in the middle of a %s",
                       channel_peer(answer ? s->next : s->prev), limit / 1000, unit(s));
    int ret = net_wait(s->node->net, limit - passed);
    if (ret == -EINTR && !*stopped) {
        *stopped = true;
        net_resume(s->node->net);
        return 0;
    }
    return ret < 0 ? ret : 0;
}
