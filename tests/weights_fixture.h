/*
 * A model of two made-up layers for the weight tests: "net.0" (weight (2, 3), bias (2)) and "norm"
 * (weight (2, 1, 2, 2), running_mean (2), which is state). Its floats lie in one array that the
 * tests compare. Also small files and folders.
 */
#ifndef TESTS_WEIGHTS_FIXTURE_H
#define TESTS_WEIGHTS_FIXTURE_H

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "models/model.h"

enum { FAKE_FLOATS = 6 + 2 + 8 + 2 };

struct fake {
    struct model model;
    struct layer layer[2], *table[2];
    float data[FAKE_FLOATS];
};

static inline void fake_param(struct layer *l, const char *name, int ndim, const int dim[],
                              float **data)
{
    struct param *p = &l->param[l->nparam++];
    snprintf(p->name, sizeof(p->name), "%s", name);
    p->value = tensor_f32(ndim, dim);
    p->value.data = *data;
    *data += tensor_count(&p->value);
}

/* start: data[i] = start + i. */
static inline struct fake *fake_new(float start)
{
    static const struct layer_ops ops = {.name = "fake"};
    struct fake *f = calloc(1, sizeof(*f));
    CHECK(f);
    float *data = f->data;
    fake_param(&f->layer[0], "net.0.weight", 2, (int[]){2, 3}, &data);
    fake_param(&f->layer[0], "net.0.bias", 1, (int[]){2}, &data);
    fake_param(&f->layer[1], "norm.weight", 4, (int[]){2, 1, 2, 2}, &data);
    fake_param(&f->layer[1], "norm.running_mean", 1, (int[]){2}, &data);
    f->layer[1].param[1].state = true;
    for (int i = 0; i < FAKE_FLOATS; i++)
        f->data[i] = start + (float)i;
    for (int i = 0; i < 2; i++) {
        f->table[i] = &f->layer[i];
        f->layer[i].ops = &ops;
    }
    snprintf(f->model.name, sizeof(f->model.name), "fake");
    f->model.layer = f->table;
    f->model.nlayer = f->model.to = 2;
    return f;
}

/* A new folder under /tmp; the path is good until the next call. */
static inline const char *folder_new(void)
{
    static char path[64];
    snprintf(path, sizeof(path), "/tmp/sparse-test-XXXXXX");
    CHECK(mkdtemp(path));
    return path;
}

static inline char *path_in(const char *folder, const char *name)
{
    char *path;
    CHECK(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

static inline void file_write(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(data, 1, bytes, f) == bytes && fclose(f) == 0);
}

/* The whole file, to be freed. */
static inline char *file_read(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    CHECK(f && fseek(f, 0, SEEK_END) == 0);
    *bytes = (size_t)ftell(f);
    rewind(f);
    char *data = malloc(*bytes + 1);
    CHECK(data && fread(data, 1, *bytes, f) == *bytes);
    data[*bytes] = 0;
    fclose(f);
    return data;
}

static inline int folder_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    CHECK(dir);
    int n = -2; /* . and .. */
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* A safetensors file of this header and so many bytes of data. */
static inline void safetensors_file(const char *path, const char *header, size_t data_bytes)
{
    uint64_t length = strlen(header);
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(&length, sizeof(length), 1, f) == 1);
    CHECK(fwrite(header, 1, length, f) == length);
    for (size_t i = 0; i < data_bytes; i++)
        CHECK(fputc((int)(i & 0xff), f) != EOF);
    CHECK(fclose(f) == 0);
}

#endif
