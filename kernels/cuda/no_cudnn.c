/* In place of the files with cuDNN's calls, in a build without its header: no second way. */
#if !__has_include(<cudnn.h>)

#include <errno.h>

#include "base/err.h"
#include "kernels/cuda/cudnn_paths.h"

static int no_cudnn(void)
{
    return err_set(ENOTSUP, "this program was built without cuDNN: build it where cudnn.h is");
}

int device_cuda_cudnn(char version[CUDNN_VERSION_BYTES])
{
    return no_cudnn();
}

int device_cuda_use_cudnn(struct device *d, struct choice_book *book)
{
    return no_cudnn();
}

void device_cuda_choices(const struct device *d, struct gpu_choices chosen[GPU_WORK_COUNT])
{
    for (int i = 0; i < GPU_WORK_COUNT; i++)
        chosen[i] = (struct gpu_choices){0, 0};
}

void cudnn_close(struct device *d)
{
}

int cudnn_lane_open(struct device *d, int lane)
{
    return 0;
}

void cudnn_lane(struct device *d)
{
}

size_t cudnn_conv_forward_work(struct device *d, const struct conv2d_dims *s)
{
    return 0;
}

size_t cudnn_conv_backward_data_work(struct device *d, const struct conv2d_dims *s)
{
    return 0;
}

size_t cudnn_conv_backward_weights_work(struct device *d, const struct conv2d_dims *s)
{
    return 0;
}

int cudnn_conv_forward(struct device *d, float *out, const float *inp, const float *weight,
                       const struct conv2d_dims *s, int add, void *work)
{
    return 0;
}

int cudnn_conv_backward_data(struct device *d, float *dinp, const float *dout, const float *weight,
                             const struct conv2d_dims *s, int add, void *work)
{
    return 0;
}

int cudnn_conv_backward_weights(struct device *d, float *dweight, const float *dout,
                                const float *inp, const struct conv2d_dims *s, float scale,
                                void *work)
{
    return 0;
}

void cudnn_maxpool_plan(struct device *d, const struct pool_dims *s, int train)
{
}

void cudnn_avgpool_plan(struct device *d, int n, int c, int h, int w, int oh, int ow, int train)
{
}

void cudnn_batchnorm_plan(struct device *d, int n, int c, int hw, float eps, int train)
{
}

int cudnn_maxpool_forward(struct device *d, float *out, const uint8_t *arg, const float *inp,
                          const struct pool_dims *s)
{
    return 0;
}

int cudnn_avgpool_forward(struct device *d, float *out, const float *inp, int n, int c, int h,
                          int w, int oh, int ow)
{
    return 0;
}

int cudnn_avgpool_backward(struct device *d, float *dinp, const float *dout, int n, int c, int h,
                           int w, int oh, int ow, int add)
{
    return 0;
}

int cudnn_batchnorm_train(struct device *d, float *out, float *saved_mean, float *saved_invstd,
                          float *running_mean, float *running_var, const float *inp,
                          const float *weight, const float *bias, int n, int c, int hw,
                          float momentum, float eps)
{
    return 0;
}

int cudnn_batchnorm_eval(struct device *d, float *out, const float *inp, const float *weight,
                         const float *bias, const float *running_mean, const float *running_var,
                         int n, int c, int hw, float eps)
{
    return 0;
}

int cudnn_batchnorm_backward(struct device *d, float *dinp, float *saved_dweight,
                             float *saved_dbias, const float *dout, const float *inp,
                             const float *weight, const float *saved_mean,
                             const float *saved_invstd, int n, int c, int hw, float eps, int add)
{
    return 0;
}

#endif
