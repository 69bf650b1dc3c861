/* `doctor`: what this machine offers, as a table or as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "base/err.h"
#include "engine/command.h"
#include "engine/machine.h"
#include "kernels/device.h"

static const char *or_unknown(const char *text)
{
    return *text ? text : "unknown";
}

static const char *yes_no(bool b)
{
    return b ? "yes" : "no";
}

static const char *megabytes(char text[32], uint64_t bytes)
{
    if (bytes == UINT64_MAX)
        return "unlimited";
    snprintf(text, 32, "%.0f MiB", (double)bytes / (1 << 20));
    return text;
}

static const char *cuda_version(char text[16], int version)
{
    if (!version)
        return "none";
    snprintf(text, 16, "%d.%d", version / 1000, version % 1000 / 10);
    return text;
}

static void print_backends(void)
{
    printf("CPU backend      ");
    for (const char *const *isa = device_cpu_isas(); *isa; isa++)
        printf("%s ", *isa);
    printf("(auto takes the first)\n");
}

static void print_memory(const struct machine_memory *m)
{
    char a[32], b[32];
    printf("memory           %s, %s available", megabytes(a, m->total), megabytes(b, m->available));
    if (m->limit)
        printf(", the control group grants %s", megabytes(a, m->limit));
    printf("\nlocked memory    limit %s, at most %s\n", megabytes(a, m->memlock_soft),
           megabytes(b, m->memlock_hard));
    printf("huge pages       transparent: %s; reserved: %" PRIu64 " of %" PRIu64 " KiB, %" PRIu64
           " free\n",
           or_unknown(m->transparent), m->huge_total, m->huge_bytes >> 10, m->huge_free);
}

static void print_gpu(const struct machine_gpu *g)
{
    char a[32], version[2][16];
    for (int i = 0; i < g->count; i++) {
        const struct gpu_info *gpu = &g->gpu[i];
        printf("GPU %-12d %s, compute capability %d.%d, %d multiprocessors, %s, %s; %s\n", i,
               gpu->name, gpu->major, gpu->minor, gpu->sm_count, megabytes(a, gpu->bytes),
               gpu->integrated ? "the CPU's memory" : "memory of its own",
               gpu->pins ? "pins host memory in place"
                         : "pinned memory is the driver's own (cudaHostAlloc)");
    }
    if (*g->why)
        printf("GPU              none: %s\n", g->why);
    printf("CUDA             built with %s, the driver knows %s\n",
           cuda_version(version[0], g->runtime), cuda_version(version[1], g->driver));
    printf("cuDNN            %s\n", g->cudnn);
}

static void print_table(const struct machine *m)
{
    printf("system           %s\n", m->system);
    printf("CPU              %s\n", or_unknown(m->cpu.model));
    printf("CPU features     %s\n", or_unknown(m->cpu.features));
    print_backends();
    printf("cores            %d online, %d usable", m->cpu.online, m->cpu.usable);
    if (m->cpu.quota > 0)
        printf(", the control group grants the time of %.2f", m->cpu.quota);
    putchar('\n');
    print_memory(&m->memory);
    if (m->uring.usable)
        printf("io_uring         usable; send_zc: %s, single_issuer: %s, defer_taskrun: %s, "
               "ext_arg: %s\n",
               yes_no(m->uring.send_zc), yes_no(m->uring.single_issuer),
               yes_no(m->uring.defer_taskrun), yes_no(m->uring.ext_arg));
    else
        printf("io_uring         not usable: %s; poll is used instead\n", m->uring.why);
    printf("TCP congestion   %s (available: %s)\n", or_unknown(m->net.congestion),
           or_unknown(m->net.available));
    print_gpu(&m->gpu);
}

/* null for "unlimited" and for "none". */
static json_t *bytes_json(uint64_t bytes, uint64_t none)
{
    return bytes == none ? json_null() : json_integer((json_int_t)bytes);
}

static json_t *memory_json(const struct machine_memory *m)
{
    return json_pack("{s:I,s:I,s:o,s:o,s:o,s:s,s:I,s:I,s:I}", "total_bytes", (json_int_t)m->total,
                     "available_bytes", (json_int_t)m->available, "cgroup_limit_bytes",
                     bytes_json(m->limit, 0), "memlock_soft_bytes",
                     bytes_json(m->memlock_soft, UINT64_MAX), "memlock_hard_bytes",
                     bytes_json(m->memlock_hard, UINT64_MAX), "transparent_huge_pages",
                     m->transparent, "huge_pages", (json_int_t)m->huge_total, "huge_pages_free",
                     (json_int_t)m->huge_free, "huge_page_bytes", (json_int_t)m->huge_bytes);
}

static json_t *version_json(int version)
{
    char text[16];
    return version ? json_string(cuda_version(text, version)) : json_null();
}

static json_t *gpu_json(const struct machine_gpu *g)
{
    json_t *gpus = json_array();
    for (int i = 0; i < g->count; i++) {
        const struct gpu_info *gpu = &g->gpu[i];
        char capability[32];
        snprintf(capability, sizeof(capability), "%d.%d", gpu->major, gpu->minor);
        json_array_append_new(gpus,
                              json_pack("{s:s,s:s,s:i,s:I,s:b,s:b}", "name", gpu->name,
                                        "compute_capability", capability, "multiprocessors",
                                        gpu->sm_count, "memory_bytes", (json_int_t)gpu->bytes,
                                        "integrated", gpu->integrated, "pins_in_place", gpu->pins));
    }
    return json_pack("{s:b,s:s,s:o,s:o,s:o,s:s}", "usable", g->count > 0, "why_not", g->why,
                     "devices", gpus, "cuda_built", version_json(g->runtime), "cuda_driver",
                     version_json(g->driver), "cudnn", g->cudnn);
}

static int print_json(const struct machine *m)
{
    json_t *backends = json_array();
    for (const char *const *isa = device_cpu_isas(); *isa; isa++)
        json_array_append_new(backends, json_string(*isa));
    json_t *cpu = json_pack("{s:s,s:s,s:o,s:i,s:i,s:o}", "model", m->cpu.model, "features",
                            m->cpu.features, "backends", backends, "cores_online", m->cpu.online,
                            "cores_usable", m->cpu.usable, "cgroup_cores",
                            m->cpu.quota > 0 ? json_real(m->cpu.quota) : json_null());
    json_t *uring =
        json_pack("{s:b,s:s,s:b,s:b,s:b,s:b}", "usable", m->uring.usable, "why_not", m->uring.why,
                  "send_zc", m->uring.send_zc, "single_issuer", m->uring.single_issuer,
                  "defer_taskrun", m->uring.defer_taskrun, "ext_arg", m->uring.ext_arg);
    json_t *all = json_pack("{s:s,s:s,s:o,s:o,s:o,s:{s:s,s:s},s:o}", "version", SPARSE_VERSION,
                            "system", m->system, "cpu", cpu, "memory", memory_json(&m->memory),
                            "io_uring", uring, "tcp_congestion", "default", m->net.congestion,
                            "available", m->net.available, "gpu", gpu_json(&m->gpu));
    if (!all)
        return err_set(ENOMEM, "no memory for what this machine offers");
    json_dumpf(all, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(all);
    return 0;
}

int cmd_doctor(const struct config *c)
{
    struct machine m;
    machine_read(&m, "");
    if (c->json)
        return print_json(&m);
    print_table(&m);
    return 0;
}
