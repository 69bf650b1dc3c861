/*
 * Errors of the world (files, peers, memory, the kernel): a function returns -errno and leaves one
 * sentence that says what was wanted, what was there and what to do. main() prints it. A broken
 * invariant of our own is not an error but a bug: CHECK aborts, in release builds too.
 *
 *     int fd = open(path, O_RDONLY);
 *     if (fd < 0)
 *         return err_set(errno, "cannot open %s: %s", path, strerror(errno));
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

/* Keeps the sentence for this thread and returns -err. err is a positive errno. Long sentences
 * are cut. */
int err_set(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#ifdef __clang_analyzer__ /* it sees one file at a time: the result is negative */
#define err_set(err, ...) ((err_set)(err, __VA_ARGS__), -(err))
#endif

/* Puts "text: " in front of the thread's sentence: adds where it happened. Returns ret
 * unchanged. */
int err_prefix(int ret, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The thread's last sentence, "" if there is none. Valid until the next err_set of this thread. */
const char *err_text(void);

void check_failed(const char *file, int line, const char *cond) __attribute__((noreturn));
#define CHECK(cond) ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))

#ifdef __cplusplus
}
#endif
#endif
