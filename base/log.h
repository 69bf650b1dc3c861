/*
 * Log lines on stderr: "[time] name - LEVEL: text". What the user asked for goes to stdout and not
 * through here; the sentence of an error goes through err.h.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#ifdef __cplusplus
extern "C" {
#endif

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_LEVEL_COUNT };

/* Lines below `level` are dropped. Set once by main before the first thread; INFO until then. */
void log_set_level(enum log_level level);

/* One whole line in one write; thread-safe. `name` is the part that speaks ("net", "pool", ...). */
void log_line(enum log_level level, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(name, ...) log_line(LOG_DEBUG, name, __VA_ARGS__)
#define log_info(name, ...) log_line(LOG_INFO, name, __VA_ARGS__)
#define log_warning(name, ...) log_line(LOG_WARNING, name, __VA_ARGS__)
#define log_error(name, ...) log_line(LOG_ERROR, name, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
