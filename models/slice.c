/*
 * Where a model may be cut, computed from its connections: a cut is legal if exactly one tensor
 * crosses it. Nothing here is listed by hand.
 */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "models/model.h"

/* How many tensors made before `cut` are read at or behind it, counting to 2; the last one's layer
 * in *producer, -1 for the model's input. The output is read behind the last layer. */
static int count_crossing(const struct model *m, int cut, int *producer)
{
    int count = 0;
    if (cut == m->nlayer) {
        *producer = m->nlayer - 1;
        return 1;
    }
    for (int i = cut; i < m->nlayer; i++)
        for (int j = 0; j < m->layer[i]->nin; j++) {
            int from = m->layer[i]->input[j];
            if (from >= cut || (count == 1 && from == *producer))
                continue;
            *producer = from;
            if (++count == 2)
                return count;
        }
    return count;
}

bool model_cut_legal(const struct model *m, int cut)
{
    int producer;
    return cut > 0 && cut < m->nlayer && count_crossing(m, cut, &producer) == 1;
}

int model_producer(const struct model *m, int number)
{
    int producer = -1;
    CHECK(number >= 0 && number <= m->nlayer && count_crossing(m, number, &producer) == 1);
    return producer;
}

struct tensor model_crossing(const struct model *m, int number, int n)
{
    int producer = model_producer(m, number);
    struct tensor t = producer < 0 ? m->in : m->plan[producer].out;
    t.dim[0] = n;
    return t;
}

/* "1, 2, 5", or cut off with "..." where they do not fit. */
static char *legal_cuts_text(const struct model *m, char *text, size_t text_bytes)
{
    size_t used = 0;
    text[0] = 0;
    for (int cut = 1; cut < m->nlayer; cut++) {
        if (!model_cut_legal(m, cut))
            continue;
        if (used + 16 > text_bytes) {
            snprintf(text + used, text_bytes - used, " ...");
            break;
        }
        used += (size_t)snprintf(text + used, text_bytes - used, "%s%d", used ? ", " : "", cut);
    }
    return text;
}

int model_slice(struct model *m, int from, int to)
{
    CHECK(!m->dev);
    if (from == 0 && to == 0) { /* a node that only reads data */
        m->from = m->to = 0;
        return 0;
    }
    if (from < 0 || from >= to || to > m->nlayer)
        return err_set(EINVAL,
                       "layers %d:%d of %s: it has layers 0 to %d, and a slice A:B needs 0 <= A < "
                       "B <= %d",
                       from, to, m->name, m->nlayer - 1, m->nlayer);
    for (int i = 0; i < 2; i++) {
        int cut = i ? to : from;
        char cuts[256];
        if (cut == 0 || cut == m->nlayer || model_cut_legal(m, cut))
            continue;
        return err_set(EINVAL,
                       "layers %d:%d of %s: more than one tensor would cross before layer %d; "
                       "legal cuts are %s",
                       from, to, m->name, cut, legal_cuts_text(m, cuts, sizeof(cuts)));
    }
    if (model_producer(m, to) < from)
        return err_set(EINVAL,
                       "layers %d:%d of %s only hand on what they get; choose a longer slice", from,
                       to, m->name);
    m->from = from;
    m->to = to;
    return 0;
}
