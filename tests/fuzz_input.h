/*
 * What the fuzzers of file readers share: an input shown as a file under a name, without touching a
 * disk (a memfd behind a symbolic link in a temporary folder), and seeds that the program itself
 * writes into the corpus folder of its call.
 */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* An empty file; path: where it can be opened again. */
static inline int fuzz_file(char *path, size_t path_bytes)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    CHECK(fd >= 0);
    snprintf(path, path_bytes, "/proc/%ld/fd/%d", (long)getpid(), fd);
    return fd;
}

static inline void fuzz_fill(int fd, const uint8_t *data, size_t bytes)
{
    CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
}

/* An empty file that is also called folder/name. */
static inline int fuzz_file_called(const char *folder, const char *name)
{
    char path[64], link[256];
    int fd = fuzz_file(path, sizeof(path));
    snprintf(link, sizeof(link), "%s/%s", folder, name);
    CHECK(symlink(path, link) == 0);
    return fd;
}

/* Puts a seed into the first folder of the program's call, if there is one. */
static inline void fuzz_seed(int argc, char **argv, const char *name, const void *data,
                             size_t bytes)
{
    struct stat sb;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' || stat(argv[i], &sb) < 0 || !S_ISDIR(sb.st_mode))
            continue;
        char path[512];
        snprintf(path, sizeof(path), "%s/seed-%s", argv[i], name);
        FILE *f = fopen(path, "wb");
        CHECK(f && fwrite(data, 1, bytes, f) == bytes && fclose(f) == 0);
        return;
    }
}

#endif
