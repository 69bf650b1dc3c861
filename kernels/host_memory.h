/*
 * Zeroed host memory straight from the kernel: page-aligned, from 2 MiB up aligned to 2 MiB and
 * asked to be of huge pages, so that a weight matrix costs few page faults and few TLB entries.
 */
#ifndef KERNELS_HOST_MEMORY_H
#define KERNELS_HOST_MEMORY_H

#include <stddef.h>

/* -ENOMEM and a sentence with the size. bytes > 0. */
int host_memory_map(void **p, size_t bytes);
/* bytes as given to host_memory_map. */
void host_memory_unmap(void *p, size_t bytes);
/* A forked child does not get this range: pages that a device or an io_uring holds must not turn
 * copy-on-write. */
void host_memory_dont_fork(void *p, size_t bytes);

#endif
