/* Assertions on calls that return 0, or -errno and a sentence. Include after cmocka.h. */
#ifndef TESTS_REFUSAL_H
#define TESTS_REFUSAL_H

#include <stdarg.h>
#include <string.h>

#include "base/err.h"

#define assert_ok(call) assert_int_equal((call), 0)
#define assert_refused(call, err, ...) \
    assert_refused_(__FILE__, __LINE__, call, err, __VA_ARGS__, NULL)

/* The call's result was -err and the sentence holds every one of these words. */
static inline void assert_refused_(const char *file, int line, int ret, int err, ...)
{
    if (ret != -err)
        _fail(file, line);
    va_list ap;
    va_start(ap, err);
    for (const char *word; (word = va_arg(ap, const char *));)
        if (!strstr(err_text(), word)) {
            print_error("\"%s\" does not say \"%s\"\n", err_text(), word);
            _fail(file, line);
        }
    va_end(ap);
}

#endif
