/*
 * Worker threads that sleep when idle. The caller takes part: it claims jobs from the same counter
 * and never waits for a thread that has not started on one, so a worker that the kernel runs late
 * costs nothing. Jobs are claimed in any order by anyone: a job's result must depend on its number
 * alone.
 */
#ifndef KERNELS_CPU_POOL_H
#define KERNELS_CPU_POOL_H

#include <stddef.h>

struct pool;

typedef void pool_fn(void *arg, int job, int worker);

/* threads counts the caller; 0: one for each core that this process may run on. -ENOMEM/-EAGAIN
 * and a sentence. */
int pool_open(struct pool **out, int threads);
void pool_close(struct pool *p);
int pool_threads(const struct pool *p);

/* Runs fn(arg, 0 .. njob-1, worker), worker in 0 .. threads-1; returns when all are done. One
 * caller at a time; allocates nothing. njob <= 1 runs in place. */
void pool_run(struct pool *p, int njob, pool_fn *fn, void *arg);

/* Scratch of one worker, POOL_SCRATCH_BYTES, 64-byte aligned, for packed panels. */
enum { POOL_SCRATCH_BYTES = 2 << 20 };
void *pool_scratch(struct pool *p, int worker);

#endif
