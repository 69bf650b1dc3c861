/*
 * The GPU for tests: the emulated one in MODE=emu, a real one in a release build where there is
 * one. Memory for test arrays is pinned for it, so that the same array serves kernels of the GPU,
 * the reference's and the test itself.
 */
#ifndef TESTS_CHECK_CUDA_H
#define TESTS_CHECK_CUDA_H

#include <stddef.h>

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Opened at the first call, closed when the program ends; NULL where there is none. Its kernels
 * wait for themselves, one by one, so that a test may look at their results at once; who tests the
 * order of queued work opens a device of its own by device_cuda_open.
 */
struct device *check_cuda(void);

/* out: `of` with entries that wait for themselves. In builds with CUDA alone. */
void check_cuda_waiting(struct kernels *out, const struct kernels *of) __attribute__((weak));

/* Host memory, aligned to 64 bytes at least, which the GPU can reach too. */
void *check_alloc(size_t bytes);
void check_free(void *p, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
