/*
 * The pool. One atomic word, `left`, is the number of jobs that nobody has claimed yet: who takes
 * it from n to n - 1 owns one job, and only then reads what the job is. The caller cannot return,
 * let alone publish another run, before an owner reports it done; so a worker that comes late finds
 * either nothing or a whole job of the present run.
 */
#include "kernels/cpu/pool.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "kernels/host_memory.h"

enum { CACHE_LINE = 64, MAX_THREADS = 1024, SPIN_NS = 20000, SPIN_YIELDS = 2 };

struct worker {
    struct pool *pool;
    int number; /* 1 .. threads - 1; the caller is 0 */
    pthread_t thread;
};

struct pool {
    _Alignas(CACHE_LINE) _Atomic uint32_t left; /* jobs not claimed yet */
    _Alignas(CACHE_LINE) _Atomic uint32_t done; /* jobs finished; the caller's futex */
    _Atomic uint32_t caller_sleeps;
    _Alignas(CACHE_LINE) _Atomic uint32_t epoch; /* one more a run; the workers' futex */
    _Atomic uint32_t sleepers;
    _Atomic uint32_t stop;

    _Alignas(CACHE_LINE) pool_fn *fn; /* of the present run: written while left == 0 */
    void *arg;
    uint32_t njob;

    int threads, started;
    struct worker *worker; /* threads of them; worker[0] is the caller and has no thread */
    void *scratch;
};

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Looks at *word for a short while; whether it left `value`. */
static int spin_while(_Atomic uint32_t *word, uint32_t value)
{
    uint64_t start = clock_now_ns();
    do {
        for (int i = 0; i < 16; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != value)
                return 1;
            relax();
        }
    } while (clock_now_ns() - start < SPIN_NS);
    for (int i = 0; i < SPIN_YIELDS; i++) {
        sched_yield(); /* where others want this core, they get it before we look again */
        if (atomic_load_explicit(word, memory_order_acquire) != value)
            return 1;
    }
    return 0;
}

/* Claims and runs jobs until none is left. */
static void work(struct pool *p, int worker)
{
    uint32_t left = atomic_load_explicit(&p->left, memory_order_relaxed);
    while (left > 0) {
        if (!atomic_compare_exchange_weak_explicit(&p->left, &left, left - 1, memory_order_acquire,
                                                   memory_order_relaxed))
            continue;
        uint32_t njob = p->njob;
        p->fn(p->arg, (int)(njob - left), worker);
        if (atomic_fetch_add(&p->done, 1) + 1 == njob && atomic_load(&p->caller_sleeps))
            futex_wake(&p->done, 1);
        left = atomic_load_explicit(&p->left, memory_order_relaxed);
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    for (;;) {
        uint32_t epoch = atomic_load(&p->epoch);
        if (atomic_load(&p->stop))
            return NULL;
        work(p, w->number);
        if (spin_while(&p->epoch, epoch))
            continue;
        atomic_fetch_add(&p->sleepers, 1);
        futex_wait(&p->epoch, epoch); /* returns at once where a run came meanwhile */
        atomic_fetch_sub(&p->sleepers, 1);
    }
}

static void wake_workers(struct pool *p, int n)
{
    atomic_fetch_add(&p->epoch, 1);
    if (atomic_load(&p->sleepers))
        futex_wake(&p->epoch, n);
}

void pool_run(struct pool *p, int njob, pool_fn *fn, void *arg)
{
    if (njob <= 1 || p->threads == 1) {
        for (int i = 0; i < njob; i++)
            fn(arg, i, 0);
        return;
    }
    CHECK(atomic_load_explicit(&p->left, memory_order_relaxed) == 0);
    p->fn = fn;
    p->arg = arg;
    p->njob = (uint32_t)njob;
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);
    atomic_store_explicit(&p->left, (uint32_t)njob, memory_order_release);
    wake_workers(p, njob - 1);
    work(p, 0);

    uint32_t done;
    while ((done = atomic_load(&p->done)) != (uint32_t)njob) {
        if (spin_while(&p->done, done))
            continue;
        atomic_store(&p->caller_sleeps, 1);
        if (atomic_load(&p->done) == done)
            futex_wait(&p->done, done);
        atomic_store(&p->caller_sleeps, 0);
    }
}

/* The first numbers of a small file; returns how many were read. */
static int read_numbers(const char *path, long *a, long *b)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    int n = fscanf(f, "%ld %ld", a, b);
    fclose(f);
    return n < 0 ? 0 : n;
}

/* The CPU time that a container grants, in whole cores, rounded up; INT_MAX where there is no
 * limit. */
static int quota_cores(void)
{
    long quota, period;
    if (read_numbers("/sys/fs/cgroup/cpu.max", &quota, &period) != 2 &&
        (read_numbers("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", &quota, &period) != 1 ||
         read_numbers("/sys/fs/cgroup/cpu/cpu.cfs_period_us", &period, &period) != 1))
        return INT_MAX;
    if (quota <= 0 || period <= 0)
        return INT_MAX;
    return (int)((quota + period - 1) / period);
}

static int usable_cores(void)
{
    cpu_set_t set[8]; /* 8192 CPUs: the kernel refuses a set smaller than its own */
    int n = 1;
    if (sched_getaffinity(0, sizeof(set), set) == 0)
        n = CPU_COUNT_S(sizeof(set), set);
    int quota = quota_cores();
    return n < quota ? n : quota;
}

static int start_workers(struct pool *p)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are for the program's own threads */
    int err = 0;
    for (p->started = 1; p->started < p->threads; p->started++) {
        struct worker *w = &p->worker[p->started];
        *w = (struct worker){.pool = p, .number = p->started};
        err = pthread_create(&w->thread, NULL, worker_main, w);
        if (err)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err)
        return err_set(err, "cannot start worker thread %d of %d: %s; fewer (--threads) may do",
                       p->started, p->threads - 1, strerror(err));
    return 0;
}

int pool_open(struct pool **out, int threads)
{
    *out = NULL;
    if (threads <= 0)
        threads = usable_cores();
    if (threads > MAX_THREADS)
        return err_set(EAGAIN, "%d worker threads wanted, at most %d make sense", threads,
                       MAX_THREADS);
    struct pool *p = aligned_alloc(CACHE_LINE, sizeof(*p));
    if (!p)
        return err_set(ENOMEM, "no memory for the worker pool");
    memset(p, 0, sizeof(*p));
    p->threads = threads;
    p->worker = calloc((size_t)threads, sizeof(*p->worker));
    int ret = p->worker ? 0 : err_set(ENOMEM, "no memory for %d workers", threads);
    if (ret == 0)
        ret = host_memory_map(&p->scratch, (size_t)threads * POOL_SCRATCH_BYTES);
    if (ret == 0)
        ret = start_workers(p);
    if (ret < 0) {
        pool_close(p);
        return err_prefix(ret, "worker pool");
    }
    *out = p;
    return 0;
}

void pool_close(struct pool *p)
{
    if (!p)
        return;
    atomic_store(&p->stop, 1);
    wake_workers(p, INT_MAX);
    for (int i = 1; i < p->started; i++)
        pthread_join(p->worker[i].thread, NULL);
    host_memory_unmap(p->scratch, (size_t)p->threads * POOL_SCRATCH_BYTES);
    free(p->worker);
    free(p);
}

int pool_threads(const struct pool *p)
{
    return p->threads;
}

void *pool_scratch(struct pool *p, int worker)
{
    CHECK(worker >= 0 && worker < p->threads);
    return (char *)p->scratch + (size_t)worker * POOL_SCRATCH_BYTES;
}
