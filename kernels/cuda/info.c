/* What GPUs there are, for logs and `doctor`: asked by attribute, as CUDA 11 and 13 both answer. */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "kernels/cuda/device_cuda.h"
#include "kernels/host_memory.h"

/* What the attribute promises, the driver may refuse: tried with a page. */
static int pins(int ordinal)
{
    void *page;
    int ret = host_memory_map(&page, 1);
    if (ret < 0)
        return 0;
    cudaSetDevice(ordinal);
    ret = cuda_register(ordinal, page, 1);
    if (ret == 0)
        cudaHostUnregister(page);
    host_memory_unmap(page, 1);
    return ret == 0;
}

int device_cuda_info(int ordinal, struct gpu_info *info)
{
    struct cudaDeviceProp prop; /* of its fields only those that every CUDA has */
    const struct {
        enum cudaDeviceAttr attribute;
        int *value;
    } asked[] = {
        {cudaDevAttrComputeCapabilityMajor, &info->major},
        {cudaDevAttrComputeCapabilityMinor, &info->minor},
        {cudaDevAttrMultiProcessorCount, &info->sm_count},
        {cudaDevAttrIntegrated, &info->integrated},
        {cudaDevAttrHostRegisterSupported, &info->pins},
    };
    *info = (struct gpu_info){.major = 0};
    cudaError_t error = cudaGetDeviceProperties(&prop, ordinal);
    for (size_t i = 0; error == cudaSuccess && i < sizeof(asked) / sizeof(asked[0]); i++)
        error = cudaDeviceGetAttribute(asked[i].value, asked[i].attribute, ordinal);
    if (error != cudaSuccess)
        return err_set(ENODEV, "GPU %d does not say what it is: %s (CUDA error %d)", ordinal,
                       cudaGetErrorString(error), error);
    snprintf(info->name, sizeof(info->name), "%s", prop.name);
    info->bytes = prop.totalGlobalMem;
    info->pins = info->pins && pins(ordinal);
    return 0;
}

void device_cuda_versions(int *driver, int *runtime)
{
    *driver = *runtime = 0;
    cudaDriverGetVersion(driver);
    cudaRuntimeGetVersion(runtime);
}
