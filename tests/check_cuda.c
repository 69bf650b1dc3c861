/* The GPU for tests, and memory that it can reach. */
#include "tests/check_cuda.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "kernels/kernels.h"

static struct device *gpu; /* check_cuda's */

static void close_gpu(void)
{
    device_close(gpu);
}

static struct device *open_gpu(void)
{
    int count;
    struct device *d;
    if (device_cuda_count(&count) < 0)
        return NULL;
    if (device_cuda_open(&d, 0) < 0) {
        fprintf(stderr, "%s\n", err_text());
        abort();
    }
    static struct kernels waiting;
    check_cuda_waiting(&waiting, d->kernels);
    d->kernels = &waiting;
    return d;
}

struct device *check_cuda(void)
{
    static int asked;
    if (!asked) {
        asked = 1;
        gpu = open_gpu();
        atexit(close_gpu);
    }
    return gpu;
}

enum { PAGE = 4096 };

/* Pages of its own where it is pinned: no page is pinned twice. */
static size_t whole(size_t bytes)
{
    size_t unit = check_cuda() ? PAGE : 64;
    return (bytes + unit - 1) / unit * unit;
}

void *check_alloc(size_t bytes)
{
    void *p = aligned_alloc(check_cuda() ? PAGE : 64, whole(bytes));
    CHECK(p);
    if (check_cuda() && check_cuda()->ops->pin(check_cuda(), p, whole(bytes)) < 0) {
        fprintf(stderr, "%s\n", err_text());
        abort();
    }
    return p;
}

void check_free(void *p, size_t bytes)
{
    if (check_cuda())
        check_cuda()->ops->unpin(check_cuda(), p, whole(bytes));
    free(p);
}
