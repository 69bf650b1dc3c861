/*
 * Emulated device memory: one range of addresses that the process may touch only while emulated
 * work runs (mprotect), with ASan's guards around each allocation; addresses are never used twice,
 * so ASan finds what is used after it was freed. And pinned host memory, by ranges.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>

#include "cuda_runtime.h"
#include "emu.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)0)
#endif

namespace emu
{
int device_now(void);

enum : size_t { ARENA_BYTES = (size_t)1 << 40, ALIGN = 256, PAGE = 65536 };

struct allocation {
    size_t bytes;
    int device;      /* of device memory */
    bool registered; /* pinned: the process's own pages */
};
using ranges = std::map<const char *, allocation>;

static char *arena;
static size_t used; /* bytes of it that were ever given out, whole pages */
static int open_depth, mallocs;
static ranges on_device, pinned;

static void report_leaks()
{
    if (on_device.empty())
        return;
    fprintf(stderr, "emulated GPU: %zu allocations of device memory were never freed\n",
            on_device.size());
    fflush(NULL);
    _exit(1);
}

static void need_arena()
{
    if (arena)
        return;
    void *p =
        mmap(NULL, ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        die("no addresses for device memory");
    arena = (char *)p;
    atexit(report_leaks);
}

static void protect(int prot)
{
    if (used && mprotect(arena, used, prot) != 0)
        die("mprotect of device memory: %m");
}

memory_open::memory_open()
{
    if (open_depth++ == 0)
        protect(PROT_READ | PROT_WRITE);
}

memory_open::~memory_open()
{
    if (--open_depth == 0)
        protect(PROT_NONE);
}

/* The range of `all` that holds p .. p + bytes, or end(). A range's end belongs to it. */
static ranges::const_iterator find(const ranges &all, const void *p, size_t bytes)
{
    auto at = all.upper_bound((const char *)p);
    if (at == all.begin())
        return all.end();
    --at;
    size_t offset = (size_t)((const char *)p - at->first);
    return offset <= at->second.bytes && bytes <= at->second.bytes - offset ? at : all.end();
}

kind kind_of(const void *p, size_t bytes)
{
    if (find(on_device, p, bytes) != on_device.end())
        return kind::device;
    if ((const char *)p >= arena && (const char *)p < arena + ARENA_BYTES)
        die("%zu bytes at %p are device memory, but of no allocation alone", bytes, p);
    return find(pinned, p, bytes) != pinned.end() ? kind::pinned : kind::pageable;
}

bool reachable(const char *kernel, int argument, const void *p)
{
    if (!p || kind_of(p, 0) != kind::pageable)
        return true;
    fprintf(stderr, "emulated GPU: argument %d of %s, %p, is host memory that is not pinned\n",
            argument, kernel, p);
    return false;
}

static cudaError_t pin(void *p, size_t bytes, bool registered)
{
    auto next = pinned.lower_bound((char *)p);
    if ((next != pinned.end() && next->first < (char *)p + bytes) ||
        find(pinned, p, 1) != pinned.end())
        return fail(cudaErrorHostMemoryAlreadyRegistered);
    pinned[(char *)p] = {bytes, device_now(), registered};
    return cudaSuccess;
}

/* Work that still uses what is freed would be lost: the driver waits for it. */
static cudaError_t unpin(void *p, bool registered)
{
    run_all();
    auto at = pinned.find((char *)p);
    if (at == pinned.end() || at->second.registered != registered)
        return fail(registered ? cudaErrorHostMemoryNotRegistered : cudaErrorInvalidValue);
    pinned.erase(at);
    return cudaSuccess;
}

static size_t in_use()
{
    size_t sum = 0;
    for (const auto &a : on_device)
        if (a.second.device == device_now())
            sum += a.second.bytes;
    return sum;
}
} // namespace emu

using namespace emu;

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    lock hold(mutex());
    int device;
    if (cudaGetDevice(&device) != cudaSuccess)
        return cudaPeekAtLastError();
    if (broken() != cudaSuccess)
        return fail(broken());
    bool refused = set().fail_malloc && ++mallocs >= set().fail_malloc;
    if (refused || bytes > set().memory_bytes - std::min(in_use(), set().memory_bytes))
        return fail(cudaErrorMemoryAllocation);
    need_arena();
    /* Guards of ALIGN bytes at least before and behind, then to the end of a page. */
    memory_open open;
    size_t pages = (bytes + 2 * ALIGN + PAGE - 1) / PAGE * PAGE;
    char *base = arena + used;
    used += pages;
    protect(PROT_READ | PROT_WRITE);
    ASAN_POISON_MEMORY_REGION(base, pages);
    char *start = base + ALIGN;
    ASAN_UNPOISON_MEMORY_REGION(start, bytes);
    memset(start, 0xff, bytes);
    on_device[start] = {bytes, device, false};
    *p = start;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    lock hold(mutex());
    if (!p)
        return cudaSuccess;
    run_all();
    auto at = on_device.find((char *)p);
    if (at == on_device.end())
        return fail(cudaErrorInvalidValue);
    size_t bytes = at->second.bytes;
    on_device.erase(at);
    ASAN_POISON_MEMORY_REGION(p, bytes);
    char *first = (char *)p - ALIGN;
    madvise(first, (bytes + 2 * ALIGN + PAGE - 1) / PAGE * PAGE, MADV_DONTNEED);
    return fail(broken());
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    lock hold(mutex());
    *total = set().memory_bytes;
    *free = *total - in_use();
    int device;
    return cudaGetDevice(&device);
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags)
{
    lock hold(mutex());
    (void)flags;
    int device;
    if (cudaGetDevice(&device) != cudaSuccess)
        return cudaPeekAtLastError();
    if (set().host_alloc_fails || posix_memalign(p, ALIGN, bytes) != 0)
        return fail(cudaErrorMemoryAllocation);
    memset(*p, 0xff, bytes);
    return pin(*p, bytes, false);
}

cudaError_t cudaFreeHost(void *p)
{
    lock hold(mutex());
    cudaError_t error = p ? unpin(p, false) : cudaSuccess;
    if (error == cudaSuccess)
        free(p);
    return error;
}

cudaError_t cudaHostRegister(void *p, size_t bytes, unsigned flags)
{
    lock hold(mutex());
    (void)flags;
    if (!set().register_supported || set().register_fails)
        return fail(set().register_fails ? cudaErrorMemoryAllocation : cudaErrorNotSupported);
    return pin(p, bytes, true);
}

cudaError_t cudaHostUnregister(void *p)
{
    lock hold(mutex());
    return unpin(p, true);
}

cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned flags)
{
    lock hold(mutex());
    (void)flags;
    auto at = find(pinned, host, 0);
    if (at == pinned.end())
        return fail(cudaErrorInvalidValue);
    *device = (char *)host + (set().register_elsewhere && at->second.registered ? (size_t)PAGE : 0);
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *p)
{
    lock hold(mutex());
    kind k = kind_of(p, 0);
    attributes->type = k == kind::device   ? cudaMemoryTypeDevice
                       : k == kind::pinned ? cudaMemoryTypeHost
                                           : cudaMemoryTypeUnregistered;
    attributes->device = k == kind::device ? find(on_device, p, 0)->second.device : -1;
    attributes->devicePointer = k == kind::pageable ? NULL : (void *)p;
    attributes->hostPointer = k == kind::device ? NULL : (void *)p;
    return cudaSuccess;
}
