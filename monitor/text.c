/* printf into memory that doubles. */
#include "monitor/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

void text_add(struct text *t, const char *format, ...)
{
    enum { AT_LEAST = 1024 }; /* of room: what most calls add fits */
    for (;;) {
        va_list ap;
        if (t->failed)
            return;
        va_start(ap, format);
        int n = t->room > t->bytes ? vsnprintf(t->at + t->bytes, t->room - t->bytes, format, ap)
                                   : AT_LEAST;
        va_end(ap);
        CHECK(n >= 0);
        if (t->bytes + (size_t)n < t->room) {
            t->bytes += (size_t)n;
            return;
        }
        size_t room = 2 * t->room + (size_t)n + AT_LEAST;
        char *at = realloc(t->at, room);
        t->failed = !at;
        t->at = at ? at : t->at;
        t->room = at ? room : t->room;
    }
}
