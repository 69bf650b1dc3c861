/*
 * cuDNN's library, found at run time; a device's handle, and its plans, which are made once a shape
 * and kept. Who computes what is in conv_cudnn.c and its kin.
 */
#if __has_include(<cudnn.h>)

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "kernels/cuda/cudnn_paths.h"
#include "kernels/cuda/cudnn_plan.h"

/* Only the version whose header this was built with numbers things alike. tests/emu has its own. */
#ifndef CUDNN_LIBRARY
#define CUDNN_WORD_(x) #x
#define CUDNN_WORD(x) CUDNN_WORD_(x)
#define CUDNN_LIBRARY "libcudnn.so." CUDNN_WORD(CUDNN_MAJOR)
#endif

/* 8.9.7 is 8907, 9.19.0 is 91900. */
static int version_of(const struct cudnn *c, char text[CUDNN_VERSION_BYTES])
{
    size_t v = c->cudnnGetVersion(), major = v >= 90000 ? 10000 : 1000;
    snprintf(text, CUDNN_VERSION_BYTES, "%zu.%zu.%zu", v / major, v % major / 100, v % 100);
    return (int)(v / major);
}

static int load(struct cudnn *c)
{
    char version[CUDNN_VERSION_BYTES];
    c->library = dlopen(CUDNN_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!c->library)
        return err_set(ENOTSUP, "%s", dlerror());
#define LOAD(entry)                                            \
    c->entry = (__typeof__(entry) *)dlsym(c->library, #entry); \
    if (!c->entry)                                             \
        return err_set(ENOTSUP, "the cuDNN found has no %s", #entry);
    CUDNN_EACH(LOAD)
#undef LOAD
    if (version_of(c, version) != CUDNN_MAJOR)
        return err_set(ENOTSUP, "cuDNN %s was found, this program was built with %d", version,
                       CUDNN_MAJOR);
    return 0;
}

int device_cuda_cudnn(char version[CUDNN_VERSION_BYTES])
{
    struct cudnn c = {.library = NULL};
    int ret = load(&c);
    if (ret == 0)
        version_of(&c, version);
    if (c.library)
        dlclose(c.library);
    return ret;
}

int device_cuda_use_cudnn(struct device *d, struct choice_book *book)
{
    struct cudnn *c = calloc(1, sizeof(*c));
    if (!c)
        return err_set(ENOMEM, "no memory for cuDNN");
    CHECK(!cuda_of(d)->cudnn);
    cuda_of(d)->cudnn = c;
    c->book = book;
    int ret = load(c);
    for (int i = 0; ret == 0 && i < cuda_of(d)->nlane; i++)
        ret = cudnn_lane_open(d, i);
    if (ret == 0)
        cudnn_lane(d);
    else
        cudnn_close(d);
    return ret;
}

/* A handle has memory of its own, which kernels of two streams must not share. */
int cudnn_lane_open(struct device *d, int lane)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    if (!c)
        return 0;
    cuda_use(cuda_of(d));
    if (TRIED(d, cudnnCreate, &c->lane[lane]) &&
        TRIED(d, cudnnSetStream, c->lane[lane], cuda_of(d)->lane[lane].stream))
        return 0;
    return err_set(ENOTSUP, "cuDNN does not start: %s", c->failed);
}

void cudnn_lane(struct device *d)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    if (c)
        c->handle = c->lane[cuda_of(d)->now - cuda_of(d)->lane];
}

void device_cuda_choices(const struct device *d, struct gpu_choices chosen[GPU_WORK_COUNT])
{
    const struct cudnn *c = ((const struct device_cuda *)d)->cudnn;
    for (int i = 0; i < GPU_WORK_COUNT; i++)
        chosen[i] = c ? c->chosen[i] : (struct gpu_choices){0, 0};
}

static void plan_free(struct cudnn *c, struct cudnn_plan *p)
{
    if (p->pool)
        c->cudnnDestroyPoolingDescriptor(p->pool);
    if (p->conv)
        c->cudnnDestroyConvolutionDescriptor(p->conv);
    if (p->weight)
        c->cudnnDestroyFilterDescriptor(p->weight);
    if (p->channels)
        c->cudnnDestroyTensorDescriptor(p->channels);
    if (p->out)
        c->cudnnDestroyTensorDescriptor(p->out);
    if (p->inp)
        c->cudnnDestroyTensorDescriptor(p->inp);
    free(p);
}

void cudnn_close(struct device *d)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    if (!c)
        return;
    while (c->plans) {
        struct cudnn_plan *p = c->plans;
        c->plans = p->next;
        plan_free(c, p);
    }
    for (int i = 0; i < CUDA_LANES; i++)
        if (c->lane[i])
            c->cudnnDestroy(c->lane[i]);
    if (c->library)
        dlclose(c->library);
    free(c);
    cuda_of(d)->cudnn = NULL;
}

int cudnn_tried(struct device *d, cudnnStatus_t status, const char *call)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    if (status == CUDNN_STATUS_SUCCESS)
        return 1;
    if (cuda_of(d)->failed != c->failed)
        snprintf(c->failed, sizeof(c->failed), "%s: %s", call, c->cudnnGetErrorString(status));
    return 0;
}

void cudnn_must(struct device *d, cudnnStatus_t status, const char *call)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    if (cudnn_tried(d, status, call))
        return;
    if (c->trying)
        c->tries_failed++;
    else
        cuda_note(d, cudaErrorUnknown, c->failed);
}

int cudnn_images(struct device *d, cudnnTensorDescriptor_t *t, int n, int c, int h, int w)
{
    return TRIED(d, cudnnCreateTensorDescriptor, t) &&
           TRIED(d, cudnnSetTensor4dDescriptor, *t, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, n, c, h,
                 w);
}

static struct cudnn_plan *find(struct cudnn *c, const struct cudnn_code *code,
                               const union cudnn_dims *dims)
{
    struct cudnn_plan *p = c ? c->plans : NULL;
    while (p && (p->code != code || memcmp(p->dims.all, dims->all, sizeof(dims->all)) != 0))
        p = p->next;
    return p;
}

struct cudnn_plan *cudnn_planned(struct device *d, const struct cudnn_code *code,
                                 const union cudnn_dims *dims)
{
    struct cudnn_plan *p = find(cuda_of(d)->cudnn, code, dims);
    return p && p->through ? p : NULL;
}

/* By what an earlier run has measured, or by measuring. */
static int choose(struct device *d, struct cudnn_plan *p, const char *key)
{
    struct choice_book *book = cuda_of(d)->cudnn->book;
    double ms[2];
    int second = book ? book->find(book, key) : 1;
    if (second < 0) {
        second = cudnn_measure(d, p, ms);
        book->keep(book, key, second, ms);
    }
    return second;
}

struct cudnn_plan *cudnn_plan(struct device *d, const struct cudnn_code *code,
                              const union cudnn_dims *dims)
{
    struct cudnn *c = cuda_of(d)->cudnn;
    struct cudnn_plan *p = find(c, code, dims);
    if (p)
        return p;
    p = calloc(1, sizeof(*p));
    if (!p) {
        cuda_note(d, cudaErrorMemoryAllocation, "a plan for cuDNN");
        return NULL;
    }
    p->code = code;
    p->dims = *dims;
    p->next = c->plans;
    c->plans = p;
    cuda_use(cuda_of(d));

    char key[CUDNN_KEY_BYTES];
    code->tell(p, key);
    if (code->describe(d, p)) {
        p->through = choose(d, p, key);
    } else {
        log_debug("cuda", "%s: not through cuDNN: %s", key, c->failed);
        if (!c->book && code->work == GPU_CONVOLUTIONS)
            cuda_note(d, cudaErrorUnknown, c->failed); /* it was asked for */
    }
    if (!p->through)
        p->bytes = 0;
    c->chosen[code->work].own += !p->through;
    c->chosen[code->work].cudnn += p->through;
    return p;
}

#endif
