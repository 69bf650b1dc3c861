/*
 * The CSV of --log: "step,loss", one row a step, counted from 1, the mean loss of the full batch as
 * a float with %.9g, which gives the float back exactly. A row is written as its step ends. Nothing
 * is allocated by a row.
 */
#ifndef ENGINE_LOSS_LOG_H
#define ENGINE_LOSS_LOG_H

#include <stdint.h>

struct loss_log {
    int fd; /* -1: none was asked for */
    const char *path;
};

/* path NULL: no log, and every call does nothing. Keeps path. -errno and a sentence. */
int loss_log_open(struct loss_log *l, const char *path);

int loss_log_row(struct loss_log *l, uint64_t step, double loss);

/* The file system may tell only now that a row was lost. */
int loss_log_close(struct loss_log *l);

#endif
