/*
 * Dotenv files, by python-dotenv's rules: NAME=value, `export`, quotes, comments, ${NAME} and
 * ${NAME:-default}, escapes in double quotes, values over several lines in quotes, any line ending.
 * The environment wins over the file wherever a name is looked up. A line that cannot be read is
 * passed over with a warning, as there.
 *
 *     struct dotenv d;
 *     if (dotenv_read(&d, ".env") < 0) ...       // -ENOENT: there is none
 *     const char *host = dotenv_get(&d, "MASTER_UPSTREAM_HOST");
 *     dotenv_close(&d);
 */
#ifndef ENGINE_DOTENV_H
#define ENGINE_DOTENV_H

#include <stddef.h>

struct dotenv_entry {
    char *name, *value; /* value NULL: the name stands alone */
};

struct dotenv {
    struct dotenv_entry *entry;
    size_t count;
};

/* -ENOENT where there is no such file, else the file's errno, -EFBIG, -EINVAL (not text) or
 * -ENOMEM; a sentence. */
int dotenv_read(struct dotenv *d, const char *path);

/* The same from memory; `path` is for the warnings. text[length] need not be 0. */
int dotenv_parse(struct dotenv *d, const char *text, size_t length, const char *path);

/* The last value that the file gives this name; NULL if none. Valid until dotenv_close. */
const char *dotenv_get(const struct dotenv *d, const char *name);

void dotenv_close(struct dotenv *d); /* harmless on a zeroed one */

#endif
