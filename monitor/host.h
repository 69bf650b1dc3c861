/*
 * What the machine itself does while a run goes on, read from files under a root folder ("" on the
 * machine itself), so that recorded trees of other machines can be read too. Linux's procfs tells
 * of network, CPU and memory; sysfs of a Jetson's GPU and power, NVML of other NVIDIA GPUs'.
 *
 *     struct host h;
 *     if (host_open(&h, "", NULL) < 0) ...
 *     struct host_sample s;
 *     host_read(&h, &s);
 *     host_close(&h);
 */
#ifndef MONITOR_HOST_H
#define MONITOR_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "monitor/tegra.h"

enum { HOST_ROOT_BYTES = 256, HOST_INTERFACE_BYTES = 16 };

struct host_sample {
    uint64_t bytes_sent, bytes_recv; /* since the machine's start, of one interface or of all */
    double cpu_percent;              /* of all cores, since the reading before */
    uint64_t ram_kb, ram_total_kb, swap_kb; /* in use; what there is */
    double gpu_percent, power_mw;           /* where the host has_gpu */
};

struct nvml;

struct host {
    char root[HOST_ROOT_BYTES];
    char interface[HOST_INTERFACE_BYTES]; /* "": all of them */
    uint64_t cpu_busy, cpu_all;           /* ticks at the reading before */
    bool has_gpu;
    bool is_tegra;
    struct tegra tegra;
    struct nvml *nvml; /* NULL: none */
    struct host_sample last;
};

/* NVML tells of this machine alone: it is asked only where root is "".
 * interface NULL: all. -ENODEV: there is no such interface; the sentence lists them. */
int host_open(struct host *h, const char *root, const char *interface);
void host_close(struct host *h);

/* What cannot be read now stays as it was read last: an interface may go away. */
void host_read(struct host *h, struct host_sample *s);

#endif
