/* Batch-norm: Ioffe, Szegedy, "Batch normalization", 2015, algorithm 1 and the gradients of
 * section 3. */
#include <math.h>

#include "kernels/ref/act.h"
#include "kernels/ref/ref.h"

static double channel_mean(const float *inp, int n, int c, int hw, int channel)
{
    double sum = 0;
    for (int b = 0; b < n; b++)
        for (int i = 0; i < hw; i++)
            sum += inp[((size_t)b * c + channel) * hw + i];
    return sum / ((double)n * hw);
}

static double channel_var(const float *inp, int n, int c, int hw, int channel, double mean)
{
    double sum = 0;
    for (int b = 0; b < n; b++) {
        for (int i = 0; i < hw; i++) {
            double x = inp[((size_t)b * c + channel) * hw + i] - mean;
            sum += x * x;
        }
    }
    return sum / ((double)n * hw);
}

void ref_batchnorm_forward_train(struct device *d, float *out, float *saved_mean,
                                 float *saved_invstd, float *running_mean, float *running_var,
                                 const float *inp, const float *weight, const float *bias, int n,
                                 int c, int hw, float momentum, float eps)
{
    double count = (double)n * hw;
    for (int k = 0; k < c; k++) {
        double mean = channel_mean(inp, n, c, hw, k);
        double var = channel_var(inp, n, c, hw, k, mean);
        double invstd = 1 / sqrt(var + eps);
        saved_mean[k] = (float)mean;
        saved_invstd[k] = (float)invstd;
        running_mean[k] = (float)((1 - (double)momentum) * running_mean[k] + momentum * mean);
        double unbiased = count > 1 ? var * count / (count - 1) : var;
        running_var[k] = (float)((1 - (double)momentum) * running_var[k] + momentum * unbiased);
        for (int b = 0; b < n; b++) {
            size_t at = ((size_t)b * c + k) * hw;
            for (int i = 0; i < hw; i++)
                out[at + i] = (float)((inp[at + i] - mean) * invstd * weight[k] + bias[k]);
        }
    }
}

void ref_batchnorm_forward_eval(struct device *d, float *out, const float *inp, const float *weight,
                                const float *bias, const float *running_mean,
                                const float *running_var, int n, int c, int hw, float eps,
                                enum act act)
{
    for (int b = 0; b < n; b++) {
        for (int k = 0; k < c; k++) {
            double scale = weight[k] / sqrt((double)running_var[k] + eps);
            size_t at = ((size_t)b * c + k) * hw;
            for (int i = 0; i < hw; i++)
                out[at + i] = ref_act(
                    (float)((inp[at + i] - (double)running_mean[k]) * scale + bias[k]), act);
        }
    }
}

void ref_batchnorm_backward_data(struct device *d, float *dinp, float *saved_dweight,
                                 float *saved_dbias, const float *dout, const float *inp,
                                 const float *weight, const float *saved_mean,
                                 const float *saved_invstd, int n, int c, int hw, float eps,
                                 int add)
{
    double count = (double)n * hw;
    for (int k = 0; k < c; k++) {
        double mean = saved_mean[k], invstd = saved_invstd[k], dbias = 0, dweight = 0;
        for (int b = 0; b < n; b++) {
            for (int i = 0; i < hw; i++) {
                size_t at = ((size_t)b * c + k) * hw + i;
                dbias += dout[at];
                dweight += dout[at] * ((inp[at] - mean) * invstd);
            }
        }
        saved_dweight[k] = (float)dweight;
        saved_dbias[k] = (float)dbias;
        for (int b = 0; b < n; b++) {
            for (int i = 0; i < hw; i++) {
                size_t at = ((size_t)b * c + k) * hw + i;
                double norm = (inp[at] - mean) * invstd;
                double g = weight[k] * invstd * (dout[at] - dbias / count - norm * dweight / count);
                dinp[at] = (float)(add ? dinp[at] + g : g);
            }
        }
    }
}
