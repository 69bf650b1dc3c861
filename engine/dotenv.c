/* Dotenv files: a scanner over the whole text, then ${NAME} by an expansion of each value. */
#include "engine/dotenv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

enum { DOTENV_MAX_BYTES = 1 << 20 };

struct scanner {
    const char *at, *end;
    int line;
};

/* A string that grows; `failed` once memory ran out. */
struct text {
    char *data;
    size_t used, room;
    bool failed;
};

static void text_put(struct text *t, char c)
{
    if (t->used + 1 >= t->room) {
        size_t room = t->room ? 2 * t->room : 64;
        char *data = realloc(t->data, room);
        if (!data) {
            t->failed = true;
            return;
        }
        t->data = data;
        t->room = room;
    }
    t->data[t->used++] = c;
    t->data[t->used] = 0;
}

static void text_puts(struct text *t, const char *s)
{
    while (*s)
        text_put(t, *s++);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\v' || c == '\f';
}

static bool is_newline(char c)
{
    return c == '\n' || c == '\r';
}

static void skip_blanks(struct scanner *s)
{
    while (s->at < s->end && is_blank(*s->at))
        s->at++;
}

static void skip_newline(struct scanner *s)
{
    if (s->at == s->end)
        return;
    if (s->at[0] == '\r' && s->at + 1 < s->end && s->at[1] == '\n')
        s->at++;
    s->at++;
    s->line++;
}

static void skip_line(struct scanner *s)
{
    while (s->at < s->end && !is_newline(*s->at))
        s->at++;
    skip_newline(s);
}

static void skip_export(struct scanner *s)
{
    const char *p = s->at;
    if (s->end - p < 7 || memcmp(p, "export", 6) || !is_blank(p[6]))
        return;
    s->at += 6;
    skip_blanks(s);
}

/* 'name' or a run of characters up to '=', '#' or white space. False: there is no name here. */
static bool scan_name(struct scanner *s, struct text *name)
{
    if (s->at < s->end && *s->at == '\'') {
        const char *close = memchr(s->at + 1, '\'', (size_t)(s->end - s->at - 1));
        if (!close || close == s->at + 1)
            return false;
        for (const char *p = s->at + 1; p < close; p++) {
            s->line += *p == '\n';
            text_put(name, *p);
        }
        s->at = close + 1;
        return true;
    }
    while (s->at < s->end && *s->at != '=' && *s->at != '#' && !is_blank(*s->at) &&
           !is_newline(*s->at))
        text_put(name, *s->at++);
    return name->used > 0;
}

/* The character that backslash c stands for inside these quotes; 0: both characters stand for
 * themselves. */
static char unescape(char quote, char c)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char *p = memchr(from, c, quote == '"' ? sizeof(from) - 1 : 2);
    return p ? to[p - from] : 0;
}

/* The closing quote of the value that begins at s->at; a backslash takes the next character with
 * it. NULL: none. */
static const char *closing_quote(const struct scanner *s)
{
    char quote = *s->at;
    for (const char *p = s->at + 1; p < s->end; p++) {
        if (*p == '\\')
            p++;
        else if (*p == quote)
            return p;
    }
    return NULL;
}

/* A value in quotes, over several lines if need be. False: the quote is not closed. */
static bool scan_quoted(struct scanner *s, struct text *value)
{
    const char *close = closing_quote(s);
    if (!close)
        return false;
    char quote = *s->at;
    for (const char *p = s->at + 1; p < close; p++) {
        char plain = *p == '\\' ? unescape(quote, p[1]) : 0;
        s->line += *p == '\n';
        text_put(value, plain ? plain : *p);
        p += plain != 0;
    }
    s->at = close + 1;
    return true;
}

/* The rest of the line up to a comment (white space and '#'), without the blanks around it. */
static void scan_unquoted(struct scanner *s, struct text *value)
{
    const char *from = s->at, *to = from;
    while (to < s->end && !is_newline(*to) && !(*to == '#' && to > from && is_blank(to[-1])))
        to++;
    s->at = to;
    while (to > from && is_blank(to[-1]))
        to--;
    for (const char *p = from; p < to; p++)
        text_put(value, *p);
}

/* After a binding only blanks and a comment may follow. */
static bool scan_rest(struct scanner *s)
{
    skip_blanks(s);
    if (s->at < s->end && *s->at == '#')
        while (s->at < s->end && !is_newline(*s->at))
            s->at++;
    if (s->at < s->end && !is_newline(*s->at))
        return false;
    skip_newline(s);
    return true;
}

/* What a name stands for inside a value: the environment's value, else the file's so far. */
static const char *lookup(const struct dotenv *d, const char *name, size_t length)
{
    char *copy = strndup(name, length);
    if (!copy)
        return NULL;
    const char *found = getenv(copy);
    if (!found)
        found = dotenv_get(d, copy);
    free(copy);
    return found;
}

/* ${NAME} and ${NAME:-default}; NAME holds no '}' or ':'. Anything else stands for itself. */
static void expand(const struct dotenv *d, const char *raw, struct text *out)
{
    while (*raw) {
        const char *close = raw[0] == '$' && raw[1] == '{' ? strchr(raw, '}') : NULL;
        size_t length = close ? strcspn(raw + 2, ":}") : 0;
        const char *after = raw + 2 + length;
        if (!close || (after != close && strncmp(after, ":-", 2))) {
            text_put(out, *raw++);
            continue;
        }
        const char *found = lookup(d, raw + 2, length);
        if (found)
            text_puts(out, found);
        else if (after != close)
            for (const char *p = after + 2; p < close; p++)
                text_put(out, *p);
        raw = close + 1;
    }
}

/* raw NULL: the name stands alone, which takes back what the file gave it before. Takes name->data.
 */
static int add(struct dotenv *d, struct text *name, const char *raw)
{
    struct text value = {0};
    if (raw) {
        expand(d, raw, &value);
        if (!value.used)
            text_put(&value, 0);
    }
    struct dotenv_entry *entry = realloc(d->entry, (d->count + 1) * sizeof(*entry));
    if (entry)
        d->entry = entry;
    if (!entry || name->failed || value.failed) {
        free(value.data);
        free(name->data);
        return err_set(ENOMEM, "no memory for the values of a dotenv file");
    }
    d->entry[d->count++] = (struct dotenv_entry){name->data, value.data};
    return 0;
}

/* What stands after the '='. "A= # text" is an empty value and a comment, "A=#text" a value. */
static bool scan_value(struct scanner *s, struct text *value)
{
    const char *from = s->at;
    skip_blanks(s);
    char first = s->at < s->end ? *s->at : '\n';
    if (first == '"' || first == '\'')
        return scan_quoted(s, value);
    if (first != '#' || s->at == from)
        scan_unquoted(s, value);
    return true;
}

/* One binding, comment or bad line. */
static int parse_one(struct dotenv *d, struct scanner *s, const char *path)
{
    struct text name = {0}, raw = {0};
    int ret = 0, line = s->line;
    skip_export(s);
    bool good = (s->at < s->end && *s->at == '#') || scan_name(s, &name), binds = false;
    if (good && name.used) {
        skip_blanks(s);
        binds = s->at < s->end && *s->at == '=';
        if (binds) {
            s->at++;
            good = scan_value(s, &raw);
        }
    }
    if (!good || !scan_rest(s)) {
        log_warning("config", "%s, line %d, is not NAME=value: passed over", path, line);
        skip_line(s);
    } else if (raw.failed) {
        ret = err_set(ENOMEM, "no memory for the values of %s", path);
    } else if (name.data) {
        ret = add(d, &name, !binds ? NULL : raw.data ? raw.data : "");
        name.data = NULL;
    }
    free(name.data);
    free(raw.data);
    return ret;
}

int dotenv_parse(struct dotenv *d, const char *text, size_t length, const char *path)
{
    *d = (struct dotenv){0};
    if (memchr(text, 0, length))
        return err_set(EINVAL, "%s holds a zero byte: a dotenv file is text, one NAME=value a line",
                       path);
    size_t mark = length >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)
                      ? 3
                      : 0; /* some editors put it before UTF-8 */
    struct scanner s = {text + mark, text + length, 1};
    while (s.at < s.end) {
        skip_blanks(&s);
        if (s.at < s.end && is_newline(*s.at)) {
            skip_newline(&s);
            continue;
        }
        if (s.at == s.end)
            break;
        int ret = parse_one(d, &s, path);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int read_all(int fd, const char *path, char *text, size_t *length)
{
    for (;;) {
        ssize_t n = read(fd, text + *length, DOTENV_MAX_BYTES + 1 - *length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(errno, "cannot read the dotenv file %s: %s", path, strerror(errno));
        if (!n)
            return 0;
        *length += (size_t)n;
        if (*length > DOTENV_MAX_BYTES)
            return err_set(EFBIG, "%s is larger than %d bytes: is it a dotenv file?", path,
                           DOTENV_MAX_BYTES);
    }
}

int dotenv_read(struct dotenv *d, const char *path)
{
    *d = (struct dotenv){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(errno, "cannot open the dotenv file %s: %s", path, strerror(errno));
    char *text = malloc(DOTENV_MAX_BYTES + 1);
    size_t length = 0;
    int ret =
        text ? read_all(fd, path, text, &length) : err_set(ENOMEM, "no memory to read %s", path);
    if (!ret)
        ret = dotenv_parse(d, text, length, path);
    if (ret < 0)
        dotenv_close(d);
    free(text);
    close(fd);
    return ret;
}

const char *dotenv_get(const struct dotenv *d, const char *name)
{
    for (size_t i = d->count; i-- > 0;)
        if (!strcmp(d->entry[i].name, name))
            return d->entry[i].value;
    return NULL;
}

void dotenv_close(struct dotenv *d)
{
    for (size_t i = 0; i < d->count; i++) {
        free(d->entry[i].name);
        free(d->entry[i].value);
    }
    free(d->entry);
    *d = (struct dotenv){0};
}
