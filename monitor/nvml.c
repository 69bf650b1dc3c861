/* The five calls of NVML that are used, by their versioned names; nvml.h of the driver documents
 * them. 0 is success. */
#include "monitor/nvml.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_GPUS = 16 };

struct utilization {
    unsigned gpu, memory; /* percent */
};

struct nvml {
    void *library;
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned *n);
    int (*handle)(unsigned index, void **gpu);
    int (*utilization)(void *gpu, struct utilization *u);
    int (*power)(void *gpu, unsigned *mw);
    bool ready; /* init succeeded */
    void *gpu[MAX_GPUS];
    int ngpu;
};

/* POSIX has dlsym return functions as data; ISO C knows no such cast. */
static bool find(void *library, const char *name, void *function)
{
    void *p = dlsym(library, name);
    memcpy(function, &p, sizeof(p));
    return p != NULL;
}

static bool find_all(struct nvml *n)
{
    return find(n->library, "nvmlInit_v2", &n->init) &&
           find(n->library, "nvmlShutdown", &n->shutdown) &&
           find(n->library, "nvmlDeviceGetCount_v2", &n->count) &&
           find(n->library, "nvmlDeviceGetHandleByIndex_v2", &n->handle) &&
           find(n->library, "nvmlDeviceGetUtilizationRates", &n->utilization) &&
           find(n->library, "nvmlDeviceGetPowerUsage", &n->power);
}

static void find_gpus(struct nvml *n)
{
    unsigned count = 0;
    n->ready = n->init() == 0;
    if (!n->ready || n->count(&count))
        return;
    for (unsigned i = 0; i < count && n->ngpu < MAX_GPUS; i++)
        n->ngpu += n->handle(i, &n->gpu[n->ngpu]) == 0;
}

struct nvml *nvml_open(void)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    struct nvml *n = library ? calloc(1, sizeof(*n)) : NULL;
    if (!n) {
        if (library)
            dlclose(library);
        return NULL;
    }
    n->library = library;
    if (find_all(n))
        find_gpus(n);
    if (n->ngpu)
        return n;
    nvml_close(n);
    return NULL;
}

void nvml_close(struct nvml *n)
{
    if (!n)
        return;
    if (n->ready)
        n->shutdown();
    dlclose(n->library);
    free(n);
}

int nvml_gpus(const struct nvml *n)
{
    return n->ngpu;
}

void nvml_read(struct nvml *n, double *gpu_percent, double *power_mw)
{
    double load = 0, power = 0;
    int loads = 0, powers = 0;
    for (int i = 0; i < n->ngpu; i++) {
        struct utilization u;
        unsigned mw;
        if (n->utilization(n->gpu[i], &u) == 0) {
            load += u.gpu;
            loads++;
        }
        if (n->power(n->gpu[i], &mw) == 0) {
            power += mw;
            powers++;
        }
    }
    if (loads)
        *gpu_percent = load / loads;
    if (powers)
        *power_mw = power;
}
