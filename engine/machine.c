/* CPU, memory and network of the machine. */
#include "engine/machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "engine/machine_file.h"

/* Of the flags that /proc/cpuinfo lists, those that a kernel of ours uses or that say what the CPU
 * is. */
static const char *const wanted[] = {
    "sse4_2",   "avx",      "f16c",        "fma",         "avx2",     "avx512f", "avx512dq",
    "avx512bw", "avx512vl", "avx512_bf16", "avx512_fp16", "amx_tile", "asimd",   "asimdhp",
    "asimddp",  "sve",      "sve2",        "bf16",        "neon"};

static void pick_features(char *out, size_t bytes, char *flags)
{
    *out = 0;
    for (char *word = strtok(flags, " "); word; word = strtok(NULL, " "))
        for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
            if (!strcmp(word, wanted[i])) {
                size_t used = strlen(out);
                snprintf(out + used, bytes - used, "%s%s", used ? " " : "", word);
            }
}

/* Cores' worth of time: version 2's cpu.max is "quota period" or "max period", version 1 has a file
 * for each. */
static double cgroup_quota(const char *root)
{
    char text[64];
    double quota, period;
    if (machine_line(text, sizeof(text), root, "/sys/fs/cgroup/cpu.max"))
        return sscanf(text, "%lf %lf", &quota, &period) == 2 && period > 0 ? quota / period : 0;
    quota = (double)machine_number(root, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", -1);
    period = (double)machine_number(root, "/sys/fs/cgroup/cpu/cpu.cfs_period_us", 0);
    return quota > 0 && period > 0 ? quota / period : 0;
}

void machine_read_cpu(struct machine_cpu *c, const char *root)
{
    static const char *const model[] = {"model name", "Model", "Processor", NULL};
    static const char *const flags[] = {"flags", "Features", NULL};
    char all[8192];
    *c = (struct machine_cpu){.online = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    /* ARM's cpuinfo has no name: the board's stands in the device tree */
    if (!machine_field(c->model, sizeof(c->model), root, "/proc/cpuinfo", model))
        machine_line(c->model, sizeof(c->model), root, "/proc/device-tree/model");
    machine_field(all, sizeof(all), root, "/proc/cpuinfo", flags);
    pick_features(c->features, sizeof(c->features), all);
    cpu_set_t set;
    c->usable = sched_getaffinity(0, sizeof(set), &set) < 0 ? c->online : CPU_COUNT(&set);
    c->quota = cgroup_quota(root);
}

/* /proc/meminfo's field in its unit, 0 where there is none. */
static uint64_t meminfo(const char *root, const char *key)
{
    char text[64];
    const char *const keys[] = {key, NULL};
    machine_field(text, sizeof(text), root, "/proc/meminfo", keys);
    return strtoull(text, NULL, 10);
}

/* "always [madvise] never": the word in brackets. */
static void chosen_word(char *out, size_t bytes, const char *root, const char *path)
{
    char text[128];
    machine_line(text, sizeof(text), root, path);
    const char *open = strchr(text, '[');
    snprintf(out, bytes, "%.*s", open ? (int)strcspn(open + 1, "]") : 0, open ? open + 1 : "");
}

static uint64_t limit_or_max(rlim_t v)
{
    return v == RLIM_INFINITY ? UINT64_MAX : v;
}

void machine_read_memory(struct machine_memory *m, const char *root)
{
    *m = (struct machine_memory){
        .total = meminfo(root, "MemTotal") << 10,
        .available = meminfo(root, "MemAvailable") << 10,
        .huge_total = meminfo(root, "HugePages_Total"),
        .huge_free = meminfo(root, "HugePages_Free"),
        .huge_bytes = meminfo(root, "Hugepagesize") << 10,
    };
    int64_t limit = machine_number(root, "/sys/fs/cgroup/memory.max", -1);
    if (limit < 0)
        limit = machine_number(root, "/sys/fs/cgroup/memory/memory.limit_in_bytes", -1);
    /* version 1 writes "none" as a huge number */
    if (limit > 0 && (uint64_t)limit < m->total)
        m->limit = (uint64_t)limit;
    struct rlimit lock;
    if (!getrlimit(RLIMIT_MEMLOCK, &lock)) {
        m->memlock_soft = limit_or_max(lock.rlim_cur);
        m->memlock_hard = limit_or_max(lock.rlim_max);
    }
    chosen_word(m->transparent, sizeof(m->transparent), root,
                "/sys/kernel/mm/transparent_hugepage/enabled");
}

void machine_read(struct machine *m, const char *root)
{
    *m = (struct machine){0};
    struct utsname u;
    if (!uname(&u))
        snprintf(m->system, sizeof(m->system), "%.64s %.100s %.64s", u.sysname, u.release,
                 u.machine);
    machine_read_cpu(&m->cpu, root);
    machine_read_memory(&m->memory, root);
    machine_read_uring(&m->uring, root);
    machine_line(m->net.congestion, sizeof(m->net.congestion), root,
                 "/proc/sys/net/ipv4/tcp_congestion_control");
    machine_line(m->net.available, sizeof(m->net.available), root,
                 "/proc/sys/net/ipv4/tcp_available_congestion_control");
    machine_read_gpu(&m->gpu);
}
