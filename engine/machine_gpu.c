/* GPUs, CUDA and cuDNN, through what this build has of them. */
#include <dlfcn.h>
#include <stdio.h>

#include "base/err.h"
#include "engine/machine.h"

/* cuDNN is no part of the program: it is loaded where it is. 8.9.7 is 8907, 9.19.0 is 91900. */
static void read_cudnn(char *text, size_t bytes)
{
    const char *name = device_cuda_cudnn();
    void *lib = name ? dlopen(name, RTLD_NOW | RTLD_LOCAL) : NULL;
    size_t (*version_of)(void) = lib ? (size_t(*)(void))dlsym(lib, "cudnnGetVersion") : NULL;
    size_t v = version_of ? version_of() : 0;
    if (!name)
        snprintf(text, bytes, "none: this program was built without it");
    else if (!lib)
        snprintf(text, bytes, "none: %s was not found", name);
    else if (!v)
        snprintf(text, bytes, "none: %s does not tell its version", name);
    else if (v >= 90000)
        snprintf(text, bytes, "%zu.%zu.%zu", v / 10000, v % 10000 / 100, v % 100);
    else
        snprintf(text, bytes, "%zu.%zu.%zu", v / 1000, v % 1000 / 100, v % 100);
    if (lib)
        dlclose(lib);
}

void machine_read_gpu(struct machine_gpu *g)
{
    *g = (struct machine_gpu){.count = 0};
    device_cuda_versions(&g->driver, &g->runtime);
    read_cudnn(g->cudnn, sizeof(g->cudnn));
    int count, ret = device_cuda_count(&count);
    for (int i = 0; ret == 0 && i < count && i < MACHINE_GPUS; i++) {
        ret = device_cuda_info(i, &g->gpu[i]);
        g->count += ret == 0;
    }
    if (ret < 0)
        snprintf(g->why, sizeof(g->why), "%s", err_text());
}
