/* A text that grows. Without memory it stays as it is, and says so once, at its end. */
#ifndef MONITOR_TEXT_H
#define MONITOR_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
    char *at; /* malloc'd; whoever made it frees it */
    size_t bytes, room;
    bool failed;
};

void text_add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
