/* Statistics files, by exclusive creation: two runs never write into one. */
#include "monitor/csv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"

enum { SAME_SECOND_MAX = 1000, ROW_BYTES = 512 };

int csv_make_folders(const char *path)
{
    char part[CSV_PATH_BYTES];
    size_t length = strlen(path);
    if (length >= sizeof(part))
        return err_set(ENAMETOOLONG, "the folder %s has too long a name", path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i])
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) < 0 && errno != EEXIST)
            return err_set(errno, "cannot make the folder %s: %s", part, strerror(errno));
    }
    return 0;
}

static int create(struct csv *f, const char *folder, const char *prefix)
{
    char stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
    for (int i = 1; i < SAME_SECOND_MAX; i++) {
        char number[16] = "";
        if (i > 1)
            snprintf(number, sizeof(number), "-%d", i);
        int n = snprintf(f->path, sizeof(f->path), "%s/%s-%s%s.csv", folder, prefix, stamp, number);
        if (n < 0 || (size_t)n >= sizeof(f->path))
            return err_set(ENAMETOOLONG, "a statistics file in %s has too long a name", folder);
        f->fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (f->fd >= 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return err_set(errno, "cannot create the statistics file %s: %s", f->path, strerror(errno));
}

int csv_open(struct csv *f, const char *data_dir, const char *prefix, const char *head)
{
    char folder[CSV_PATH_BYTES];
    *f = (struct csv){.fd = -1};
    int n = snprintf(folder, sizeof(folder), "%s/stats", data_dir);
    if (n < 0 || (size_t)n >= sizeof(folder))
        return err_set(ENAMETOOLONG, "the folder %s has too long a name", data_dir);
    int ret = csv_make_folders(folder);
    if (ret == 0)
        ret = create(f, folder, prefix);
    if (ret == 0)
        ret = csv_row(f, "%s", head);
    if (ret < 0)
        csv_close(f);
    return ret;
}

int csv_row(struct csv *f, const char *format, ...)
{
    char row[ROW_BYTES];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(row, sizeof(row) - 1, format, ap);
    va_end(ap);
    CHECK(n >= 0 && (size_t)n < sizeof(row) - 1);
    row[n++] = '\n';
    for (const char *p = row; n;) {
        ssize_t wrote = write(f->fd, p, (size_t)n);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return err_set(errno, "cannot write the statistics file %s: %s", f->path,
                           strerror(errno));
        p += wrote;
        n -= (int)wrote;
    }
    return 0;
}

void csv_close(struct csv *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}
