/* Linear layers: out = act(inp weight^T + bias) and its gradients. */
#include "kernels/ref/act.h"
#include "kernels/ref/ref.h"

void ref_linear_forward(struct device *d, float *out, const float *inp, const float *weight,
                        const float *bias, int n, int c, int k, enum act act, void *work)
{
    for (int i = 0; i < n; i++) {
        for (int o = 0; o < k; o++) {
            double sum = bias ? bias[o] : 0;
            for (int j = 0; j < c; j++)
                sum += (double)inp[(size_t)i * c + j] * weight[(size_t)o * c + j];
            out[(size_t)i * k + o] = ref_act((float)sum, act);
        }
    }
}

void ref_linear_backward_data(struct device *d, float *dinp, const float *dout, const float *weight,
                              int n, int c, int k, int add, void *work)
{
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < c; j++) {
            double sum = add ? dinp[(size_t)i * c + j] : 0;
            for (int o = 0; o < k; o++)
                sum += (double)dout[(size_t)i * k + o] * weight[(size_t)o * c + j];
            dinp[(size_t)i * c + j] = (float)sum;
        }
    }
}

void ref_linear_backward_weights(struct device *d, float *dweight, float *dbias, const float *dout,
                                 const float *inp, int n, int c, int k, float scale, void *work)
{
    for (int o = 0; o < k; o++) {
        double of_bias = 0;
        for (int i = 0; i < n; i++)
            of_bias += dout[(size_t)i * k + o];
        if (dbias)
            dbias[o] = (float)(dbias[o] + scale * of_bias);
        for (int j = 0; j < c; j++) {
            double sum = 0;
            for (int i = 0; i < n; i++)
                sum += (double)dout[(size_t)i * k + o] * inp[(size_t)i * c + j];
            dweight[(size_t)o * c + j] = (float)(dweight[(size_t)o * c + j] + scale * sum);
        }
    }
}

size_t ref_linear_work(struct device *d, int n, int c, int k)
{
    return 0;
}
