/*
 * What the CPU kernels share. Every file in this folder but pool.c and device_cpu.c is compiled
 * once an instruction set, with ISA = plain, avx2, avx512 or neon; CPU(name) gives each copy its
 * own symbol. A file defines CPU(...) functions (the entries are declared here) and table.c gathers
 * them in CPU(kernels).
 */
#ifndef KERNELS_CPU_CPU_H
#define KERNELS_CPU_CPU_H

#include "kernels/cpu/pool.h"
#include "kernels/cpu/shuffle.h"
#include "kernels/device.h"
#include "kernels/entries.h"

#define CPU_PASTE_(name, isa) name##_##isa
#define CPU_PASTE(name, isa) CPU_PASTE_(name, isa)
#define CPU(name) CPU_PASTE(name, ISA)

struct device_cpu {
    struct device dev; /* first */
    struct pool *pool;
    const char *isa;
};

static inline struct pool *cpu_pool(struct device *d)
{
    return ((struct device_cpu *)d)->pool;
}

#ifdef ISA
#define CPU_DECLARE(entry) KERNEL_TYPE(entry) CPU(entry);
KERNELS_EACH(CPU_DECLARE)
#undef CPU_DECLARE

extern const struct kernels CPU(kernels);
#endif

#endif
