/* The thread's error sentence and the abort of a broken invariant. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ERR_TEXT_BYTES = 1024 };
static _Thread_local char text[ERR_TEXT_BYTES];

#undef err_set
int err_set(int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char next[ERR_TEXT_BYTES]; /* the old sentence may be among the arguments */
    vsnprintf(next, sizeof(next), fmt, ap);
    va_end(ap);
    memcpy(text, next, sizeof(text));
    return -err;
}

int err_prefix(int ret, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char next[ERR_TEXT_BYTES];
    int used = vsnprintf(next, sizeof(next), fmt, ap);
    va_end(ap);
    if (used < 0)
        used = 0;
    if (used < ERR_TEXT_BYTES &&
        snprintf(next + used, sizeof(next) - (size_t)used, ": %s", text) < 0)
        next[used] = '\0';
    memcpy(text, next, sizeof(text));
    return ret;
}

const char *err_text(void)
{
    return text;
}

void check_failed(const char *file, int line, const char *cond)
{
    fprintf(stderr, "sparse-engine: internal error at %s:%d: %s\n", file, line, cond);
    abort();
}
