/* A small file of procfs or sysfs, read whole. */
#ifndef MONITOR_HOST_FILE_H
#define MONITOR_HOST_FILE_H

#include <stddef.h>

/* The file's first bytes - 1 bytes and a NUL. 0, or -errno without a sentence: what a machine does
 * not have is no error. */
int host_file(char *text, size_t bytes, const char *path_format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
