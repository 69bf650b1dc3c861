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

int device_cuda_use_math(struct device *d, enum math math)
{
    int count;
    return device_cuda_count(&count);
}

int device_cuda_use_cudnn(struct device *d, struct choice_book *book)
{
    int count;
    return device_cuda_count(&count);
}

int device_cuda_cudnn(char version[CUDNN_VERSION_BYTES])
{
    return err_set(ENOTSUP, "this program was built without it");
}

void device_cuda_choices(const struct device *d, struct gpu_choices chosen[GPU_WORK_COUNT])
{
    for (int i = 0; i < GPU_WORK_COUNT; i++)
        chosen[i] = (struct gpu_choices){0, 0};
}

void device_cuda_versions(int *driver, int *runtime)
{
    *driver = *runtime = 0;
}
