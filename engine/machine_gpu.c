/* GPUs, CUDA and cuDNN, through what this build has of them. */
#include <stdio.h>

#include "base/err.h"
#include "engine/machine.h"

void machine_read_gpu(struct machine_gpu *g)
{
    *g = (struct machine_gpu){.count = 0};
    device_cuda_versions(&g->driver, &g->runtime);
    char version[CUDNN_VERSION_BYTES];
    if (device_cuda_cudnn(version) == 0)
        snprintf(g->cudnn, sizeof(g->cudnn), "%s", version);
    else
        snprintf(g->cudnn, sizeof(g->cudnn), "none: %s", err_text());
    int count, ret = device_cuda_count(&count);
    for (int i = 0; ret == 0 && i < count && i < MACHINE_GPUS; i++) {
        ret = device_cuda_info(i, &g->gpu[i]);
        g->count += ret == 0;
    }
    if (ret < 0)
        snprintf(g->why, sizeof(g->why), "%s", err_text());
}
