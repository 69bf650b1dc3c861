/* Small text files of /proc and /sys, for machine*.c. */
#ifndef ENGINE_MACHINE_FILE_H
#define ENGINE_MACHINE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first line of root/path without its end; false and "" where there is none. */
bool machine_line(char *text, size_t bytes, const char *root, const char *path);

/* What stands after "key...:" in root/path, of the first line that begins with one of the keys
 * (NULL-terminated). */
bool machine_field(char *text, size_t bytes, const char *root, const char *path,
                   const char *const keys[]);

/* The number that root/path begins with; `otherwise` where there is none. */
int64_t machine_number(const char *root, const char *path, int64_t otherwise);

#endif
