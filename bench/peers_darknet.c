/*
 * The other rival of bench/peers.sh: inference in darknet itself, Debian's package, compiled there
 * against it and not linked with the engine. Pictures one by one, as in bench_train; prints one
 * JSON line.
 *
 *     peers_darknet MODEL CFG WEIGHTS SECONDS
 */
#include <darknet.h>
#include <sys/resource.h>
#include <time.h>

enum { RUNS_MAX = 10000, RUNS_MIN = 3, WARM_UP = 1 };

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static double ms[RUNS_MAX];
    if (argc != 5)
        return 2;
    network *net = load_network(argv[2], argv[3], 0);
    set_batch_network(net, 1);
    float *in = calloc((size_t)net->inputs, sizeof(*in));
    if (!in)
        return 1;
    srand(1);
    for (int i = 0; i < net->inputs; i++)
        in[i] = (float)rand() / (float)RAND_MAX;
    for (int i = 0; i < WARM_UP; i++)
        network_predict(net, in);
    double begin = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    double limit = begin + strtod(argv[4], NULL);
    int n = 0;
    while (n < RUNS_MIN || (n < RUNS_MAX && seconds_of(CLOCK_MONOTONIC) < limit)) {
        double start = seconds_of(CLOCK_MONOTONIC);
        network_predict(net, in);
        ms[n++] = 1e3 * (seconds_of(CLOCK_MONOTONIC) - start);
    }
    cpu = 1e3 * (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) / n;
    qsort(ms, (size_t)n, sizeof(*ms), order);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("{\"bench\": \"infer\", \"model\": \"%s\", \"batch\": 1, \"darknet\": \"Debian's\", "
           "\"threads\": 1, \"runs\": %d, \"median_ms\": %.4g, \"min_ms\": %.4g, \"cpu_ms\": %.4g, "
           "\"peak_rss_mb\": %ld}\n",
           argv[1], n, ms[n / 2], ms[0], cpu, use.ru_maxrss / 1024);
    return 0;
}
