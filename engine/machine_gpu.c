/* The GPU, through the CUDA driver's library where there is one: nothing of CUDA is needed to build
 * this. */
#include <dlfcn.h>
#include <stdio.h>

#include "engine/machine.h"

void machine_read_gpu(struct machine *m)
{
    void *lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        snprintf(m->gpu, sizeof(m->gpu), "none: libcuda.so.1 not found");
        return;
    }
    int (*init)(unsigned) = (int (*)(unsigned))dlsym(lib, "cuInit");
    int (*count_of)(int *) = (int (*)(int *))dlsym(lib, "cuDeviceGetCount");
    int (*name_of)(char *, int, int) = (int (*)(char *, int, int))dlsym(lib, "cuDeviceGetName");
    int count = 0, ret = init && count_of && name_of ? init(0) : -1;
    char name[128] = "";
    if (!ret)
        ret = count_of(&count);
    if (!ret && count)
        ret = name_of(name, sizeof(name), 0);
    m->gpu_usable = !ret && count > 0;
    if (m->gpu_usable)
        snprintf(m->gpu, sizeof(m->gpu), "%s, %d in all; this build has the CPU backend alone",
                 name, count);
    else if (!ret)
        snprintf(m->gpu, sizeof(m->gpu), "none: the CUDA driver sees no device");
    else
        snprintf(m->gpu, sizeof(m->gpu), "none: the CUDA driver answers with error %d", ret);
    dlclose(lib);
}
