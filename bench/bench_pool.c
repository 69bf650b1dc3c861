/*
 * The worker pool: what a parallel region costs beyond its work, and how two processes share the
 * cores. A region is one job a thread, each spinning through a fixed amount of arithmetic; between
 * regions the caller works alone for a while, as a training step does.
 *
 *     bench_pool [seconds a case]
 *
 * "overhead_us" is the median region less its work; "share" is what each of two processes gets of
 * what one alone gets, 0.5 being fair.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "kernels/cpu/pool.h"

enum { MAX_REGIONS = 1 << 16 };

/* Dependent multiplications: takes the same time on any core, and no memory. */
static float spin(long rounds)
{
    float x = 1.0001f;
    for (long i = 0; i < rounds; i++)
        x = x * 1.0000001f + 1e-9f;
    return x;
}

struct region {
    long rounds;
    volatile float sink[64][16]; /* a cache line each */
};

static void job(void *arg, int number, int worker)
{
    struct region *r = arg;
    r->sink[worker % 64][0] = spin(r->rounds);
}

static int order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double rounds_per_us(void)
{
    double best = 0;
    for (int i = 0; i < 20; i++) {
        uint64_t start = clock_now_ns();
        volatile float sink = spin(100000);
        (void)sink;
        double rate = 100000 / (1e6 * clock_seconds_since(start));
        best = rate > best ? rate : best;
    }
    return best;
}

struct result {
    double median_us, regions_per_s;
};

/* Regions of work_us a thread with gap_us of the caller alone between them. */
static struct result run_regions(struct pool *p, double rate, double work_us, double gap_us,
                                 double seconds)
{
    static double times[MAX_REGIONS];
    struct region r = {.rounds = (long)(work_us * rate)};
    long gap = (long)(gap_us * rate);
    size_t n = 0;
    uint64_t start = clock_now_ns();
    while (clock_seconds_since(start) < seconds) {
        uint64_t one = clock_now_ns();
        pool_run(p, pool_threads(p), job, &r);
        times[n++ % MAX_REGIONS] = 1e6 * clock_seconds_since(one);
        r.sink[0][0] = spin(gap);
    }
    double total = clock_seconds_since(start);
    size_t kept = n < MAX_REGIONS ? n : MAX_REGIONS;
    qsort(times, kept, sizeof(*times), order);
    return (struct result){times[kept / 2], (double)n / total};
}

static struct pool *open_pool(void)
{
    struct pool *p;
    if (pool_open(&p, 0) < 0) {
        fprintf(stderr, "%s\n", err_text());
        exit(1);
    }
    return p;
}

/* A child runs regions and reports how many a second. */
static void child(int fd, double rate, double work_us, double gap_us, double seconds)
{
    struct pool *p = open_pool();
    struct result r = run_regions(p, rate, work_us, gap_us, seconds);
    if (write(fd, &r, sizeof(r)) != sizeof(r))
        _exit(1);
    pool_close(p);
    _exit(0);
}

static void run_children(int n, struct result *out, double rate, double work_us, double gap_us,
                         double seconds)
{
    int fd[2];
    CHECK(pipe(fd) == 0);
    for (int i = 0; i < n; i++)
        if (fork() == 0)
            child(fd[1], rate, work_us, gap_us, seconds);
    for (int i = 0; i < n; i++)
        CHECK(read(fd[0], &out[i], sizeof(out[i])) == sizeof(out[i]));
    while (wait(NULL) > 0)
        ;
    close(fd[0]);
    close(fd[1]);
}

int main(int argc, char **argv)
{
    static const double cases[][2] = {{0, 0}, {5, 2}, {20, 5}, {50, 10}, {100, 20}, {50, 200}};
    double seconds = argc > 1 ? atof(argv[1]) : 1, rate = rounds_per_us();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double work = cases[i][0], gap = cases[i][1];
        struct result alone, both[2];
        run_children(1, &alone, rate, work, gap, seconds);
        run_children(2, both, rate, work, gap, seconds);
        printf("{\"bench\":\"pool region\",\"work_us\":%g,\"gap_us\":%g,\"overhead_us\":%.2f,"
               "\"regions_per_s\":%.0f,\"share\":[%.2f,%.2f]}\n",
               work, gap, alone.median_us - work, alone.regions_per_s,
               both[0].regions_per_s / alone.regions_per_s,
               both[1].regions_per_s / alone.regions_per_s);
        fflush(stdout);
    }
    return 0;
}
