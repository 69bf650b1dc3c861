/*
 * Slots: runs of memory with a lifetime. Those that never live at the same time may get the same
 * addresses.
 */
#ifndef MODELS_PASS_SLOTS_H
#define MODELS_PASS_SLOTS_H

#include <stdbool.h>
#include <stddef.h>

struct slot {
    size_t bytes, offset;
    int first, last; /* moments of a step, both included; first > last: not used yet */
    void *lent;      /* somebody else's memory: not placed */
    bool placed;
};

struct slots {
    struct slot *slot;
    int count, room;
};

/* Room for so many slots. -ENOMEM and a sentence. */
int slots_open(struct slots *s, int room);
void slots_close(struct slots *s);

/* A new slot's number. lent NULL: memory of our own. */
int slots_add(struct slots *s, size_t bytes, void *lent);

/* The slot holds something at this moment. */
void slots_use(struct slots *s, int slot, int moment);

/* Gives each slot of our own that is used its offset, ARENA_ALIGN aligned; returns the bytes that
 * all need together. */
size_t slots_place(struct slots *s);

#endif
