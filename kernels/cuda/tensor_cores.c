/* Whether a GPU, and this program on it, can multiply by tensor cores as a user asks for. */
#include <errno.h>

#include "base/err.h"
#include "kernels/cuda/device_cuda.h"
#include "kernels/cuda/gemm_plan.h"

/* 10 * the compute capability that has such tensor cores. */
static int wanted(enum math math)
{
    return math == MATH_TF32 ? 80 : math == MATH_FP16 ? 70 : 0;
}

/* 10 * the compute capability that the kernels which run here were compiled for. */
static int compiled_for(struct device *d, int *capability)
{
    struct device_cuda *c = cuda_of(d);
    *capability = 0;
    cuda_use(c);
    gemm_compiled_for(d, c->now->scratch);
    d->ops->copy(d, capability, c->now->scratch, sizeof(*capability));
    return device_sync(d);
}

int device_cuda_use_math(struct device *d, enum math math)
{
    struct gpu_info info;
    int least = wanted(math), compiled, ret;
    ret = device_cuda_info(cuda_of(d)->ordinal, &info);
    if (ret < 0)
        return ret;
    if (10 * info.major + info.minor < least)
        return err_set(ENOTSUP,
                       "--math %s wants a GPU of compute capability %d.%d or newer, %s has %d.%d: "
                       "leave it out%s",
                       math_name(math), least / 10, least % 10, info.name, info.major, info.minor,
                       10 * info.major + info.minor >= wanted(MATH_FP16) ? ", or take --math fp16"
                                                                         : "");
    ret = compiled_for(d, &compiled);
    if (ret < 0)
        return ret;
    if (compiled < least)
        return err_set(ENOTSUP,
                       "--math %s wants kernels compiled for compute capability %d.%d or newer, "
                       "this program's are for %d.%d: build it with CUDA_ARCHS=%d%d",
                       math_name(math), least / 10, least % 10, compiled / 10, compiled % 10,
                       info.major, info.minor);
    cuda_of(d)->math = math;
    return 0;
}
