/* A row is one write(2). */
#include "engine/loss_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

static int failed(const struct loss_log *l, const char *what)
{
    return err_set(errno, "cannot %s the log %s: %s", what, l->path, strerror(errno));
}

static int write_all(struct loss_log *l, const char *text, size_t length)
{
    while (length) {
        ssize_t n = write(l->fd, text, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(l, "write");
        text += n;
        length -= (size_t)n;
    }
    return 0;
}

int loss_log_open(struct loss_log *l, const char *path)
{
    *l = (struct loss_log){-1, path};
    if (!path)
        return 0;
    l->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (l->fd < 0)
        return failed(l, "open");
    static const char head[] = "step,loss\n";
    return write_all(l, head, strlen(head));
}

int loss_log_row(struct loss_log *l, uint64_t step, double loss)
{
    if (l->fd < 0)
        return 0;
    char row[64];
    int length = snprintf(row, sizeof(row), "%" PRIu64 ",%.9g\n", step, (double)(float)loss);
    return write_all(l, row, (size_t)length);
}

int loss_log_close(struct loss_log *l)
{
    int fd = l->fd;
    l->fd = -1;
    return fd >= 0 && close(fd) < 0 ? failed(l, "close") : 0;
}
