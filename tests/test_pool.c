/*
 * The pool: every job once, whatever the number of jobs and threads, also when runs follow each
 * other at once (late workers of the last run meet the next one). Build it with MODE=tsan too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "kernels/cpu/pool.h"
#include "tests/check.h"

#if !__GLIBC_PREREQ(2, 33) /* Ubuntu 20.04 */
#define mallinfo2 mallinfo
#endif

enum { MAX_JOBS = 1000 };

struct seen {
    struct pool *pool;
    int njob;
    int count[MAX_JOBS]; /* plain ints on purpose: tsan sees a job that two threads run */
    int worker[MAX_JOBS];
};

static void see(void *arg, int job, int worker)
{
    struct seen *s = arg;
    s->count[job]++;
    s->worker[job] = worker;
}

static void each_job_once(void **state)
{
    static const int threads[] = {1, 2, 3, 8}, jobs[] = {0, 1, 2, 3, 7, 64, MAX_JOBS};
    static struct seen s;
    for (int t = 0; t < 4; t++) {
        struct pool *p;
        assert_int_equal(pool_open(&p, threads[t]), 0);
        assert_int_equal(pool_threads(p), threads[t]);
        for (int repeat = 0; repeat < 20; repeat++) {
            for (int j = 0; j < 7; j++) {
                memset(&s, 0, sizeof(s));
                pool_run(p, jobs[j], see, &s);
                for (int i = 0; i < MAX_JOBS; i++) {
                    assert_int_equal(s.count[i], i < jobs[j]);
                    assert_in_range(s.worker[i], 0, threads[t] - 1);
                }
            }
        }
        pool_close(p);
    }
}

/* Runs of changing size and argument without a pause between: a stale claim would write into the
 * other array. */
static void runs_on_end(void **state)
{
    struct pool *p;
    static struct seen s[2];
    long total[2] = {0, 0};
    assert_int_equal(pool_open(&p, 4), 0);
    memset(s, 0, sizeof(s));
    for (int run = 0; run < 20000; run++) {
        int njob = 2 + run * 7 % 13;
        pool_run(p, njob, see, &s[run % 2]);
        total[run % 2] += njob;
    }
    for (int k = 0; k < 2; k++) {
        long sum = 0;
        for (int i = 0; i < MAX_JOBS; i++)
            sum += s[k].count[i];
        assert_int_equal(sum, total[k]);
    }
    pool_close(p);
}

static void napping_job(void *arg, int job, int worker)
{
    usleep(job % 3 * 300);
    see(arg, job, worker);
}

/* Pauses on both sides, so that workers and the caller really go to sleep and are woken. */
static void sleepers_wake(void **state)
{
    struct pool *p;
    static struct seen s;
    memset(&s, 0, sizeof(s));
    assert_int_equal(pool_open(&p, 3), 0);
    for (int run = 0; run < 100; run++) {
        pool_run(p, 5, napping_job, &s);
        usleep(run % 2 * 500);
    }
    for (int i = 0; i < 5; i++)
        assert_int_equal(s.count[i], 100);
    pool_close(p);
}

static void hold(void *arg, int job, int worker)
{
    _Atomic int *here = arg;
    atomic_fetch_add(here, 1);
    uint64_t start = clock_now_ns();
    while (atomic_load(here) < 3 && clock_seconds_since(start) < 10)
        sched_yield();
}

/* Three jobs that wait for each other: they pass at once only if three threads take part. */
static void all_threads_take_part(void **state)
{
    struct pool *p;
    assert_int_equal(pool_open(&p, 3), 0);
    for (int run = 0; run < 10; run++) {
        _Atomic int here = 0;
        uint64_t start = clock_now_ns();
        pool_run(p, 3, hold, &here);
        assert_int_equal(atomic_load(&here), 3);
        assert_true(clock_seconds_since(start) < 5);
    }
    pool_close(p);
}

static void write_scratch(void *arg, int job, int worker)
{
    char *scratch = pool_scratch(arg, worker);
    memset(scratch, worker, POOL_SCRATCH_BYTES);
    sched_yield();
    for (int i = 0; i < POOL_SCRATCH_BYTES; i += 997)
        CHECK(scratch[i] == worker);
}

static void scratch_is_ones_own(void **state)
{
    struct pool *p;
    assert_int_equal(pool_open(&p, 3), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal((uintptr_t)pool_scratch(p, i) % 64, 0);
    pool_run(p, 9, write_scratch, p);
    pool_close(p);
}

static void default_is_the_affinity(void **state)
{
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &before)) {
            CPU_SET(i, &one);
            break;
        }
    struct pool *p;
    assert_int_equal(pool_open(&p, 0), 0);
    assert_in_range(pool_threads(p), 1, CPU_COUNT(&before));
    pool_close(p);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    assert_int_equal(pool_open(&p, 0), 0);
    assert_int_equal(pool_threads(p), 1);
    pool_close(p);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

static _Atomic int on_other_thread;
static pthread_t test_thread;

static void on_signal(int sig)
{
    if (!pthread_equal(pthread_self(), test_thread))
        on_other_thread = 1;
}

static void workers_take_no_signals(void **state)
{
    test_thread = pthread_self();
    struct pool *p;
    assert_int_equal(pool_open(&p, 4), 0);
    signal(SIGUSR1, on_signal);
    sigset_t usr1, before;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1,
                    &before); /* so that the kernel would look for another thread */
    kill(getpid(), SIGUSR1);
    usleep(20000);
    assert_int_equal(on_other_thread, 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pool_close(p);
}

static void no_thread_is_an_error(void **state)
{
    struct pool *p = (void *)1;
    assert_int_equal(pool_open(&p, 1 << 20), -EAGAIN);
    assert_null(p);
    assert_non_null(strstr(err_text(), "1048576"));
}

#if !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) /* they need the address space */
static int thread_count(void)
{
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static long mapped_pages(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld", &pages), 1);
    fclose(f);
    return pages;
}

/* The scratch fits into the address space, the stacks of 64 threads do not: some start, then one
 * fails. */
static void failing_thread_cleans_up(void **state)
{
    struct rlimit old, tight;
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    tight = old;
    tight.rlim_cur = (rlim_t)mapped_pages() * (rlim_t)sysconf(_SC_PAGESIZE) + (400u << 20);
    struct pool *p = (void *)1;
    int before = thread_count();
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    int ret = pool_open(&p, 64);
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    assert_int_equal(ret, -EAGAIN);
    assert_null(p);
    assert_non_null(strstr(err_text(), "cannot start worker thread "));
    for (int i = 0; i < 100 && thread_count() > before; i++)
        usleep(10000); /* a joined thread stays listed until the kernel is through with it */
    assert_int_equal(thread_count(), before);
}
#endif

static void nothing(void *arg, int job, int worker)
{
}

static void run_allocates_nothing(void **state)
{
    struct pool *p;
    assert_int_equal(pool_open(&p, 3), 0);
    pool_run(p, 8, nothing, NULL);
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < 100; i++)
        pool_run(p, 8, nothing, NULL);
    struct mallinfo2 after = mallinfo2();
    assert_int_equal(after.uordblks, before.uordblks);
    pool_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_job_once),
        cmocka_unit_test(runs_on_end),
        cmocka_unit_test(sleepers_wake),
        cmocka_unit_test(all_threads_take_part),
        cmocka_unit_test(scratch_is_ones_own),
        cmocka_unit_test(default_is_the_affinity),
        cmocka_unit_test(workers_take_no_signals),
        cmocka_unit_test(no_thread_is_an_error),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(failing_thread_cleans_up),
#endif
        cmocka_unit_test(run_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
