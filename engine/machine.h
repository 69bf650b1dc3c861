/*
 * What a machine offers to this program, read from /proc, /sys and the system calls themselves.
 * `doctor` prints it.
 */
#ifndef ENGINE_MACHINE_H
#define ENGINE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/device.h"

enum { MACHINE_TEXT_BYTES = 256 };

struct machine_cpu {
    char model[MACHINE_TEXT_BYTES];
    char features[MACHINE_TEXT_BYTES]; /* those that matter here, by the kernel's names */
    int online, usable; /* cores of the machine; those that this process may run on */
    double quota;       /* cores' worth of time that the control group grants; 0: no limit */
};

struct machine_memory {
    uint64_t total, available;                  /* bytes */
    uint64_t limit;                             /* of the control group; 0: none */
    uint64_t memlock_soft, memlock_hard;        /* UINT64_MAX: unlimited */
    uint64_t huge_total, huge_free, huge_bytes; /* reserved huge pages, and the size of one */
    char transparent[64]; /* always, madvise, never; "" where the kernel has none */
};

struct machine_uring {
    bool usable;
    char why[MACHINE_TEXT_BYTES]; /* why not; "" where it is */
    bool send_zc, single_issuer, defer_taskrun, ext_arg;
};

struct machine_net {
    char congestion[64], available[MACHINE_TEXT_BYTES];
};

enum { MACHINE_GPUS = 16 };

struct machine_gpu {
    int count; /* GPUs that can be used, of them the first ones: */
    struct gpu_info gpu[MACHINE_GPUS];
    char why[MACHINE_TEXT_BYTES];   /* why there is none; "" where there is */
    int driver, runtime;            /* CUDA, 1000 * major + 10 * minor; 0: none */
    char cudnn[MACHINE_TEXT_BYTES]; /* its version, or why there is none */
};

struct machine {
    char system[MACHINE_TEXT_BYTES]; /* "Linux 6.1.0 x86_64" */
    struct machine_cpu cpu;
    struct machine_memory memory;
    struct machine_uring uring;
    struct machine_net net;
    struct machine_gpu gpu;
};

/* root goes before every path that is read, "" for the real ones. What cannot be read stays empty.
 */
void machine_read(struct machine *m, const char *root);

/* The parts, each by itself. */
void machine_read_cpu(struct machine_cpu *c, const char *root);
void machine_read_memory(struct machine_memory *m, const char *root);
void machine_read_uring(struct machine_uring *u, const char *root);
void machine_read_gpu(struct machine_gpu *g);

/* Why io_uring_setup answered -err, given what /proc/sys/kernel/io_uring_disabled holds (-1:
 * nothing). */
const char *machine_uring_refusal(int err, int disabled);

#endif
