/*
 * A file that is written beside its place and takes it when it is whole: it grows under a name of
 * its own in the target's folder and is renamed when every byte is on the disk. A reader sees the
 * old file or the new one, whatever fails. What writers of weights (safetensors_out.c,
 * darknet_weights.c) share.
 *
 *     struct file_out f = FILE_OUT_NONE;
 *     ret = file_out_begin(&f, path);
 *     ret = file_out_reserve(&f, bytes);
 *     ret = file_out_write(&f, data, bytes);          // piece by piece
 *     ret = file_out_commit(&f);
 *     file_out_close(&f);                             // uncommitted: removed
 */
#ifndef MODELS_FILE_OUT_H
#define MODELS_FILE_OUT_H

#include <stddef.h>
#include <stdint.h>

struct file_out {
    int fd;
    char *target;    /* where the file goes: path with its symbolic links followed */
    char *folder;    /* of the target */
    char *temporary; /* NULL: there is none to remove */
};

#define FILE_OUT_NONE ((struct file_out){.fd = -1})

/* 0 if a file could be put at `path`: the folder exists and is writable, and what stands there is a
 * writable file or nothing. */
int file_out_possible(const char *path);

/* Errors of all: -errno and a sentence that names the target. */
int file_out_begin(struct file_out *f, const char *path);
/* A full disk is better met now than after the last block. Not every file system can reserve. */
int file_out_reserve(const struct file_out *f, uint64_t bytes);
int file_out_write(const struct file_out *f, const void *data, size_t bytes);
int file_out_commit(struct file_out *f); /* fsync, rename */
void file_out_close(struct file_out *f);

#endif
