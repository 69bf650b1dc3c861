/* Anonymous mappings; the alignment to 2 MiB is cut out of a larger one. */
#include "kernels/host_memory.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"

enum { HUGE_BYTES = 2 << 20 };

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t mapped_bytes(size_t bytes)
{
    size_t unit = bytes >= HUGE_BYTES ? HUGE_BYTES : page_bytes();
    return (bytes + unit - 1) / unit * unit;
}

static int no_memory(size_t bytes)
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double size = (double)bytes;
    int u = 0;
    for (; size >= 1024 && u < 6; u++)
        size /= 1024;
    int err = errno ? errno : ENOMEM;
    return err_set(err, "cannot get %.*f %s of memory: %s", u ? 1 : 0, size, unit[u],
                   strerror(err));
}

int host_memory_map(void **p, size_t bytes)
{
    *p = NULL;
    CHECK(bytes > 0);
    if (bytes > SIZE_MAX / 2) {
        errno = ENOMEM;
        return no_memory(bytes);
    }
    size_t size = mapped_bytes(bytes), slack = bytes >= HUGE_BYTES ? HUGE_BYTES - page_bytes() : 0;
    char *base =
        mmap(NULL, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return no_memory(bytes);
    if (slack) {
        size_t before = -(uintptr_t)base & (HUGE_BYTES - 1);
        if (before)
            munmap(base, before);
        base += before;
        if (slack > before)
            munmap(base + size, slack - before);
        madvise(base, size, MADV_HUGEPAGE); /* a wish: kernels without huge pages refuse it */
    }
    *p = base;
    return 0;
}

void host_memory_unmap(void *p, size_t bytes)
{
    if (p)
        CHECK(munmap(p, mapped_bytes(bytes)) == 0);
}

void host_memory_dont_fork(void *p, size_t bytes)
{
    CHECK(madvise(p, mapped_bytes(bytes), MADV_DONTFORK) == 0);
}
