/* In place of kernels/cuda in a build without CUDA: there is no such device. */
#include <errno.h>

#include "base/err.h"
#include "kernels/device.h"

int device_cuda_count(int *count)
{
    *count = 0;
    return err_set(ENODEV, "this program was built without CUDA: build it where nvcc is");
}

int device_cuda_open(struct device **out, int ordinal)
{
    int count;
    *out = NULL;
    return device_cuda_count(&count);
}

int device_cuda_info(int ordinal, struct gpu_info *info)
{
    int count;
    return device_cuda_count(&count);
}

int device_cuda_use_cudnn(struct device *d)
{
    int count;
    return device_cuda_count(&count);
}

const char *device_cuda_cudnn(void)
{
    return NULL;
}

void device_cuda_versions(int *driver, int *runtime)
{
    *driver = *runtime = 0;
}
