/*
 * Placing slots: the largest first, each at the lowest offset where nothing lies that lives at the
 * same time. Greedy by size is within a few percent of the least possible on networks (Pisarchyk,
 * Lee, "Efficient memory management for deep neural net inference", 2020).
 */
#include "models/pass_slots.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/err.h"
#include "kernels/tensor.h"

int slots_open(struct slots *s, int room)
{
    *s = (struct slots){.room = room};
    s->slot = calloc((size_t)room, sizeof(*s->slot));
    return s->slot ? 0 : err_set(ENOMEM, "no memory to plan %d tensors", room);
}

void slots_close(struct slots *s)
{
    free(s->slot);
    s->slot = NULL;
}

int slots_add(struct slots *s, size_t bytes, void *lent)
{
    CHECK(s->count < s->room);
    size_t aligned = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    s->slot[s->count] = (struct slot){.bytes = aligned, .first = INT_MAX, .last = -1, .lent = lent};
    return s->count++;
}

void slots_use(struct slots *s, int slot, int moment)
{
    CHECK(slot >= 0 && slot < s->count);
    struct slot *t = &s->slot[slot];
    if (moment < t->first)
        t->first = moment;
    if (moment > t->last)
        t->last = moment;
}

static bool wants_place(const struct slot *s)
{
    return !s->placed && !s->lent && s->bytes && s->first <= s->last;
}

static bool collide(const struct slot *a, const struct slot *b)
{
    bool same_time = a->first <= b->last && b->first <= a->last;
    return same_time && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

static void place_one(const struct slots *s, struct slot *new)
{
    bool moved;
    new->offset = 0;
    do {
        moved = false;
        for (int i = 0; i < s->count; i++)
            if (s->slot[i].placed && collide(new, &s->slot[i])) {
                new->offset = s->slot[i].offset + s->slot[i].bytes;
                moved = true;
            }
    } while (moved);
}

size_t slots_place(struct slots *s)
{
    size_t total = 0;
    for (;;) {
        int largest = -1;
        for (int i = 0; i < s->count; i++)
            if (wants_place(&s->slot[i]) &&
                (largest < 0 || s->slot[i].bytes > s->slot[largest].bytes))
                largest = i;
        if (largest < 0)
            return total;
        struct slot *new = &s->slot[largest];
        place_one(s, new);
        new->placed = true;
        if (new->offset + new->bytes > total)
            total = new->offset + new->bytes;
    }
}
