/*
 * Stands in the place of malloc and its kin: counts calls and what is held, and refuses the call
 * that memory.fail_at numbers. For tests named *_alloc, whose links the Makefile wraps; one file
 * includes it.
 */
#ifndef TESTS_ALLOC_WRAP_H
#define TESTS_ALLOC_WRAP_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
int __real_posix_memalign(void **p, size_t align, size_t bytes);
void __real_free(void *p);
void *__real_mmap(void *p, size_t bytes, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *p, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
int __wrap_posix_memalign(void **p, size_t align, size_t bytes);
void __wrap_free(void *p);
void *__wrap_mmap(void *p, size_t bytes, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *p, size_t bytes);

/* Of the whole process. */
static struct {
    _Atomic long calls;         /* allocations asked for */
    _Atomic long fail_at;       /* this call fails; 0: none */
    _Atomic long blocks, pages; /* now held: blocks of malloc, bytes of mmap */
} memory;

static bool refuse(void)
{
    if (++memory.calls != memory.fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

static void *counted(void *p)
{
    memory.blocks += p != NULL;
    return p;
}

void *__wrap_malloc(size_t bytes)
{
    return refuse() ? NULL : counted(__real_malloc(bytes));
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    return refuse() ? NULL : counted(__real_calloc(n, bytes));
}

void *__wrap_realloc(void *p, size_t bytes)
{
    if (refuse())
        return NULL;
    void *q = __real_realloc(p, bytes);
    memory.blocks += !p && q;
    return q;
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
    return refuse() ? NULL : counted(__real_aligned_alloc(align, bytes));
}

int __wrap_posix_memalign(void **p, size_t align, size_t bytes)
{
    if (refuse())
        return ENOMEM;
    int ret = __real_posix_memalign(p, align, bytes);
    memory.blocks += ret == 0;
    return ret;
}

void __wrap_free(void *p)
{
    memory.blocks -= p != NULL;
    __real_free(p);
}

void *__wrap_mmap(void *p, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    if (refuse())
        return MAP_FAILED;
    void *q = __real_mmap(p, bytes, prot, flags, fd, offset);
    memory.pages += q == MAP_FAILED ? 0 : (long)bytes;
    return q;
}

int __wrap_munmap(void *p, size_t bytes)
{
    memory.pages -= (long)bytes;
    return __real_munmap(p, bytes);
}

#endif
