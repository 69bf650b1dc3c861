/* Strict numbers. */
#include "engine/number.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/err.h"

int number_u64(uint64_t *out, const char *what, const char *text, uint64_t min, uint64_t max)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = isdigit((unsigned char)*text) ? strtoull(text, &end, 10) : 0;
    if (!end || *end || errno || v < min || v > max)
        return err_set(EINVAL,
                       "%s wants a whole number from %" PRIu64 " to %" PRIu64 ", there is \"%s\"",
                       what, min, max, text);
    *out = v;
    return 0;
}

int number_int(int *out, const char *what, const char *text, int min, int max)
{
    uint64_t v;
    int ret = number_u64(&v, what, text, (uint64_t)min, (uint64_t)max);
    if (!ret)
        *out = (int)v;
    return ret;
}

int number_float(float *out, const char *what, const char *text, float min, float below)
{
    char *end = NULL;
    /* strtof alone would also take leading white space, hexadecimal, "inf" and "nan" */
    bool plain = *text && !isspace((unsigned char)*text);
    for (const char *p = text; *p; p++)
        plain = plain && (isdigit((unsigned char)*p) || *p == '.' || *p == '-' || *p == '+' ||
                          *p == 'e' || *p == 'E');
    float v = plain ? strtof(text, &end) : 0;
    if (end && end != text && !*end && isfinite(v) && v >= min && v < below) {
        *out = v;
        return 0;
    }
    if (below < FLT_MAX)
        return err_set(EINVAL, "%s wants a number from %g to below %g, there is \"%s\"", what,
                       (double)min, (double)below, text);
    return err_set(EINVAL, "%s wants a number of at least %g, there is \"%s\"", what, (double)min,
                   text);
}
