/*
 * The CPU device: every call runs at once, on the pool. The instruction set is chosen here, at run
 * time, from the tables that this build holds (with PLAIN_ONLY one); "reference" is the plain loops
 * of kernels/ref, on the caller alone.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "kernels/cpu/cpu.h"
#include "kernels/host_memory.h"
#include "kernels/ref/ref.h"

#if defined(__x86_64__) && !defined(PLAIN_ONLY)
#include <cpuid.h>
#elif defined(__aarch64__) && !defined(PLAIN_ONLY)
#include <sys/auxv.h>
#endif

extern const struct kernels kernels_plain;

static int have_plain(void)
{
    return 1;
}

#if defined(__x86_64__) && !defined(PLAIN_ONLY)
extern const struct kernels kernels_avx2, kernels_avx512;

static int have_avx2(void)
{
    unsigned a, b, c, d;
    __builtin_cpu_init(); /* _supports also asks whether the kernel keeps the wide registers */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static int have_avx512(void)
{
    return have_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#elif defined(__aarch64__) && !defined(PLAIN_ONLY)
extern const struct kernels kernels_neon;

static int have_neon(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0;
}
#endif

/* Best first, each implying those after it; "reference" is never what "auto" means. */
#if defined(__x86_64__) && !defined(PLAIN_ONLY)
#define ISAS(X) X(avx512) X(avx2) X(plain)
#elif defined(__aarch64__) && !defined(PLAIN_ONLY)
#define ISAS(X) X(neon) X(plain)
#else
#define ISAS(X) X(plain)
#endif

static const struct isa {
    const char *name;
    const struct kernels *kernels;
    int (*have)(void);
} isas[] = {
#define ISA_ROW(isa) {#isa, &kernels_##isa, have_##isa},
    ISAS(ISA_ROW){"reference", &kernels_ref, have_plain},
};

#define ISA_NAME(isa) #isa,
static const char *const isa_names[] = {ISAS(ISA_NAME) "reference", NULL};

enum { ISA_COUNT = sizeof(isas) / sizeof(isas[0]) };

static void cpu_close(struct device *d)
{
    struct device_cpu *cpu = (struct device_cpu *)d;
    pool_close(cpu->pool);
    free(cpu);
}

static int cpu_alloc(struct device *d, void **p, size_t bytes)
{
    return host_memory_map(p, bytes);
}

static void cpu_free(struct device *d, void *p, size_t bytes)
{
    host_memory_unmap(p, bytes);
}

enum { COPY_BLOCK = 512 << 10 };

struct copy {
    char *dst;
    const char *src;
    size_t bytes;
};

static void copy_block(void *arg, int job, int worker)
{
    const struct copy *c = arg;
    size_t from = (size_t)job * COPY_BLOCK, left = c->bytes - from;
    memcpy(c->dst + from, c->src + from, left < COPY_BLOCK ? left : COPY_BLOCK);
}

static void cpu_copy(struct device *d, void *dst, const void *src, size_t bytes)
{
    struct copy c = {dst, src, bytes};
    pool_run(cpu_pool(d), (int)((bytes + COPY_BLOCK - 1) / COPY_BLOCK), copy_block, &c);
}

static void cpu_signal(struct device *d, int eventfd)
{
    uint64_t one = 1;
    CHECK(write(eventfd, &one, sizeof(one)) == sizeof(one));
}

static int cpu_sync(struct device *d)
{
    return 0;
}

static const struct device_ops cpu_ops = {
    .name = "cpu",
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .copy = cpu_copy,
    .signal = cpu_signal,
    .sync = cpu_sync,
};

/* The names that work here, as "avx2, plain, reference". */
static const char *isas_text(char *text, size_t text_bytes)
{
    size_t used = 0;
    for (const char *const *name = device_cpu_isas(); *name && used < text_bytes; name++)
        used += (size_t)snprintf(text + used, text_bytes - used, "%s%s", used ? ", " : "", *name);
    return text;
}

/* NULL and a sentence where there is none. */
static const struct isa *find_isa(const char *name)
{
    int known = !strcmp(name, "avx512") || !strcmp(name, "avx2") || !strcmp(name, "neon");
    for (int i = 0; i < ISA_COUNT; i++) {
        if (strcmp(name, "auto") && strcmp(name, isas[i].name))
            continue;
        if (isas[i].have())
            return &isas[i];
    }
    char text[128];
    err_set(ENOTSUP, "instruction set \"%s\": %s; take auto or one of: %s", name,
            known ? "this CPU or this build lacks it" : "there is none of this name",
            isas_text(text, sizeof(text)));
    return NULL;
}

int device_cpu_open(struct device **out, int threads, const char *isa)
{
    *out = NULL;
    const struct isa *found = find_isa(isa);
    if (!found)
        return -ENOTSUP;
    struct device_cpu *cpu = calloc(1, sizeof(*cpu));
    if (!cpu)
        return err_set(ENOMEM, "no memory for the CPU device");
    cpu->dev.ops = &cpu_ops;
    cpu->dev.kernels = found->kernels;
    cpu->isa = found->name;
    int ret = pool_open(&cpu->pool, found->kernels == &kernels_ref ? 1 : threads);
    if (ret < 0) {
        free(cpu);
        return ret;
    }
    *out = &cpu->dev;
    return 0;
}

const char *device_cpu_isa(const struct device *d)
{
    return ((const struct device_cpu *)d)->isa;
}

int device_cpu_threads(const struct device *d)
{
    return pool_threads(((const struct device_cpu *)d)->pool);
}

const char *const *device_cpu_isas(void)
{
    int first = 0;
    while (!isas[first].have())
        first++;
    return &isa_names[first];
}
