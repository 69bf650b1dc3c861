/* open, read to the end, close. */
#include "monitor/host_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

int host_file(char *text, size_t bytes, const char *path_format, ...)
{
    char path[1024];
    va_list ap;
    va_start(ap, path_format);
    int n = vsnprintf(path, sizeof(path), path_format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t used = 0;
    ssize_t got;
    while (used < bytes - 1 && (got = read(fd, text + used, bytes - 1 - used)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int ret = -errno; /* a sensor that is asleep */
            close(fd);
            return ret;
        }
        used += (size_t)got;
    }
    close(fd);
    text[used] = '\0';
    return 0;
}
