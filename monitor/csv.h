/*
 * One file of a run's statistics: DATA_DIR/stats/{prefix}-%Y%m%d-%H%M%S.csv, or with "-2", "-3"
 * before ".csv" where that is taken. A row is one write(2), so a reader sees whole rows.
 */
#ifndef MONITOR_CSV_H
#define MONITOR_CSV_H

enum { CSV_PATH_BYTES = 1024 };

struct csv {
    int fd; /* -1: closed */
    char path[CSV_PATH_BYTES];
};

/* Makes the folders too. `head` is the first row. -errno and a sentence. */
int csv_open(struct csv *f, const char *data_dir, const char *prefix, const char *head);
int csv_row(struct csv *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
void csv_close(struct csv *f);

/* A folder and those above it, where they are missing. */
int csv_make_folders(const char *path);

#endif
