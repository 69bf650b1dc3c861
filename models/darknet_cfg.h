/*
 * The text of a darknet .cfg: sections of key=value lines, as darknet reads them (spaces count for
 * nothing, CR LF or LF, lines that begin with # or ; are comments), and checked reading of values.
 * What the sections mean is darknet_sections.c's concern.
 *
 *     struct cfg c;
 *     if (cfg_open(&c, path) < 0) ...
 *     int size;
 *     if (cfg_int(&c, &c.section[1], "size", 1, &size, 1, 31) < 0) ...   // 1: the default
 *     cfg_close(&c);
 */
#ifndef MODELS_DARKNET_CFG_H
#define MODELS_DARKNET_CFG_H

#include <stdbool.h>
#include <stddef.h>

/* Of a file; the largest that darknet's authors publish are below 30 kB. */
enum { CFG_MAX_BYTES = 1 << 20 };

struct cfg_option {
    const char *key, *value;
    int line;
};

struct cfg_section {
    const char *name; /* without its brackets */
    int line;
    size_t first, noption; /* in struct cfg */
};

struct cfg {
    const char *path; /* the caller's */
    char *text;       /* what names, keys and values point into */
    struct cfg_section *section;
    size_t nsection;
    struct cfg_option *option;
    size_t noption;
};

/* The whole file. -EBADMSG and a sentence with file and line where the text is none, is too long,
 * has an option before the first section or a line that is neither; the file's own error. May be
 * followed by close after failing. */
int cfg_open(struct cfg *c, const char *path);
/* The same of a text in memory, which is copied; `path` is for the sentences. */
int cfg_open_text(struct cfg *c, const char *path, const char *text, size_t bytes);
void cfg_close(struct cfg *c);

/* "path:line: ..." as the sentence; -EBADMSG. */
int cfg_refuse(const struct cfg *c, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* *out: the option of that key, NULL where there is none; refused where there are two. */
int cfg_find(const struct cfg *c, const struct cfg_section *s, const char *key,
             const struct cfg_option **out);
/* A whole number in [min, max], `missing` where the key is not there; refused with its line. */
int cfg_int(const struct cfg *c, const struct cfg_section *s, const char *key, int missing,
            int *out, int min, int max);
/* Numbers with commas between them; *n of them, 0 where the key is not there; at most max of them.
 * A comma may stand at the end. */
int cfg_ints(const struct cfg *c, const struct cfg_section *s, const char *key, int out[], int max,
             int *n);
int cfg_floats(const struct cfg *c, const struct cfg_section *s, const char *key, float out[],
               int max, int *n);

#endif
