/* Reads the text of a darknet .cfg; one pass over it in memory, nothing is copied. */
#include "models/darknet_cfg.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

int cfg_refuse(const struct cfg *c, int line, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return err_set(EBADMSG, "%s:%d: %s", c->path, line, text);
}

static int read_text(struct cfg *c, int fd, size_t *bytes)
{
    struct stat sb;
    if (fstat(fd, &sb) < 0)
        return err_set(errno, "cannot read %s: %s", c->path, strerror(errno));
    if (!S_ISREG(sb.st_mode))
        return err_set(EBADMSG, "cannot read %s: a .cfg file was wanted, it is none", c->path);
    if (sb.st_size > CFG_MAX_BYTES)
        return err_set(EBADMSG, "%s has %lld bytes, a .cfg has at most %d: is it another file?",
                       c->path, (long long)sb.st_size, CFG_MAX_BYTES);
    c->text = malloc((size_t)sb.st_size + 1);
    if (!c->text)
        return err_set(ENOMEM, "no memory to read %s", c->path);
    *bytes = 0;
    while (*bytes < (size_t)sb.st_size) {
        ssize_t n = read(fd, c->text + *bytes, (size_t)sb.st_size - *bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(errno, "cannot read %s: %s", c->path, strerror(errno));
        if (n == 0)
            break;
        *bytes += (size_t)n;
    }
    c->text[*bytes] = 0;
    if (strlen(c->text) != *bytes)
        return err_set(EBADMSG, "%s is no text: it has a 0 byte at %zu", c->path, strlen(c->text));
    return 0;
}

/* Room for one more in an array of n; rooms are powers of two. */
static int grow(const struct cfg *c, void **array, size_t n, size_t each)
{
    if (n && (n < 16 || (n & (n - 1))))
        return 0;
    void *more = realloc(*array, (n ? 2 * n : 16) * each);
    if (!more)
        return err_set(ENOMEM, "no memory to read %s", c->path);
    *array = more;
    return 0;
}

/* Without spaces, and without a comment at its end. */
static void strip(char *line)
{
    char *to = line;
    for (const char *from = line; *from && *from != '#' && *from != ';'; from++)
        if (!strchr(" \t\r\v\f", *from))
            *to++ = *from;
    *to = 0;
}

static int take_section(struct cfg *c, char *line, int number)
{
    size_t length = strlen(line);
    if (line[length - 1] != ']' || length < 3)
        return cfg_refuse(c, number, "\"%.40s\": a section's name was wanted, as in [net]", line);
    int ret = grow(c, (void **)&c->section, c->nsection, sizeof(*c->section));
    if (ret < 0)
        return ret;
    line[length - 1] = 0;
    c->section[c->nsection++] =
        (struct cfg_section){.name = line + 1, .line = number, .first = c->noption};
    return 0;
}

static int take_option(struct cfg *c, char *line, int number)
{
    char *equals = strchr(line, '=');
    if (!equals || equals == line)
        return cfg_refuse(c, number, "\"%.40s\": key=value was wanted", line);
    if (c->nsection == 0)
        return cfg_refuse(c, number, "\"%.40s\" stands before the first section, [net] was wanted",
                          line);
    int ret = grow(c, (void **)&c->option, c->noption, sizeof(*c->option));
    if (ret < 0)
        return ret;
    *equals = 0;
    c->option[c->noption++] = (struct cfg_option){.key = line, .value = equals + 1, .line = number};
    c->section[c->nsection - 1].noption++;
    return 0;
}

static int split(struct cfg *c)
{
    static const char mark[] = "\xef\xbb\xbf"; /* some editors begin a file with it */
    char *line = c->text;
    if (!strncmp(line, mark, 3))
        line += 3;
    for (int number = 1; line; number++) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        strip(line);
        int ret = 0;
        if (*line == '[')
            ret = take_section(c, line, number);
        else if (*line)
            ret = take_option(c, line, number);
        if (ret < 0)
            return ret;
        line = next;
    }
    return 0;
}

int cfg_open(struct cfg *c, const char *path)
{
    *c = (struct cfg){.path = path};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(errno, "cannot open %s: %s", path, strerror(errno));
    size_t bytes;
    int ret = read_text(c, fd, &bytes);
    close(fd);
    return ret < 0 ? ret : split(c);
}

int cfg_open_text(struct cfg *c, const char *path, const char *text, size_t bytes)
{
    *c = (struct cfg){.path = path, .text = strndup(text, bytes)};
    return c->text ? split(c) : err_set(ENOMEM, "no memory to read %s", path);
}

void cfg_close(struct cfg *c)
{
    free(c->option);
    free(c->section);
    free(c->text);
    c->option = NULL;
    c->section = NULL;
    c->text = NULL;
}

int cfg_find(const struct cfg *c, const struct cfg_section *s, const char *key,
             const struct cfg_option **out)
{
    *out = NULL;
    for (size_t i = s->first; i < s->first + s->noption; i++) {
        const struct cfg_option *o = &c->option[i];
        if (strcmp(o->key, key))
            continue;
        if (*out)
            return cfg_refuse(c, o->line, "[%.40s] has %s a second time, see line %d", s->name, key,
                              (*out)->line);
        *out = o;
    }
    return 0;
}

/* One whole number from *text on, which is moved behind it. */
static bool take_int(const char **text, int *out)
{
    char *end;
    errno = 0;
    long v = strtol(*text, &end, 10);
    if (end == *text || errno || v < INT_MIN || v > INT_MAX)
        return false;
    *out = (int)v;
    *text = end;
    return true;
}

int cfg_int(const struct cfg *c, const struct cfg_section *s, const char *key, int missing,
            int *out, int min, int max)
{
    const struct cfg_option *o;
    int ret = cfg_find(c, s, key, &o);
    *out = missing;
    if (ret < 0 || !o)
        return ret;
    const char *text = o->value;
    if (min == max && (!take_int(&text, out) || *text || *out != min))
        return cfg_refuse(c, o->line, "[%.40s] %s=%.40s: only %d is known here", s->name, key,
                          o->value, min);
    if (min < max && (!take_int(&text, out) || *text || *out < min || *out > max))
        return cfg_refuse(c, o->line, "[%.40s] %s=%.40s: a whole number from %d to %d was wanted",
                          s->name, key, o->value, min, max);
    return 0;
}

static bool take_float(const char **text, float *out)
{
    char *end;
    *out = strtof(*text, &end);
    if (end == *text || !isfinite(*out))
        return false;
    *text = end;
    return true;
}

/* A list of ints, or of floats: one of the two is NULL. */
static int take_list(const struct cfg *c, const struct cfg_section *s, const char *key, int ints[],
                     float floats[], int max, int *n)
{
    const struct cfg_option *o;
    int ret = cfg_find(c, s, key, &o);
    *n = 0;
    if (ret < 0 || !o)
        return ret;
    for (const char *text = o->value; *text; text += *text == ',') {
        if (*n == max)
            return cfg_refuse(c, o->line, "[%.40s] %s=%.40s: at most %d numbers are taken", s->name,
                              key, o->value, max);
        if (!(ints ? take_int(&text, &ints[*n]) : take_float(&text, &floats[*n])) ||
            (*text && *text != ','))
            return cfg_refuse(c, o->line,
                              "[%.40s] %s=%.40s: %s with commas between them were wanted", s->name,
                              key, o->value, ints ? "whole numbers" : "numbers");
        (*n)++;
    }
    if (*n == 0)
        return cfg_refuse(c, o->line, "[%.40s] %s= has no value", s->name, key);
    return 0;
}

int cfg_ints(const struct cfg *c, const struct cfg_section *s, const char *key, int out[], int max,
             int *n)
{
    return take_list(c, s, key, out, NULL, max, n);
}

int cfg_floats(const struct cfg *c, const struct cfg_section *s, const char *key, float out[],
               int max, int *n)
{
    return take_list(c, s, key, NULL, out, max, n);
}
