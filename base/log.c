/* One log line, one write(2), so that lines of several threads do not mix. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Process-wide on purpose, like stderr itself: written once by main, before any thread. */
static enum log_level threshold = LOG_INFO;

static const char *const level_name[LOG_LEVEL_COUNT] = {"DEBUG", "INFO", "WARNING", "ERROR"};

void log_set_level(enum log_level level)
{
    threshold = level;
}

void log_line(enum log_level level, const char *name, const char *fmt, ...)
{
    if (level < threshold)
        return;
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    char line[2048], stamp[32];
    strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
    int head = snprintf(line, sizeof(line), "[%s,%03ld] %s - %s: ", stamp, now.tv_nsec / 1000000,
                        name, level_name[level]);
    va_list ap;
    va_start(ap, fmt);
    int body = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, fmt, ap);
    va_end(ap);
    size_t used = (size_t)head + (body < 0 ? 0 : (size_t)body);
    if (used > sizeof(line) - 2)
        used = sizeof(line) - 2;
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0)
        return; /* stderr is gone: there is nobody left to tell */
}
