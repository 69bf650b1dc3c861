/* Load and power of discrete NVIDIA GPUs, through the driver's library, which is opened at run
 * time: neither the build nor the program needs it. */
#ifndef MONITOR_NVML_H
#define MONITOR_NVML_H

struct nvml;

/* NULL where there is no such library, or no GPU. */
struct nvml *nvml_open(void);
void nvml_close(struct nvml *n); /* NULL is fine */

int nvml_gpus(const struct nvml *n);

/* The mean load in percent, the sum of the powers in milliwatts, over the GPUs that tell. */
void nvml_read(struct nvml *n, double *gpu_percent, double *power_mw);

#endif
