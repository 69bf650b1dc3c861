/* Activations, and the one definition of act(x) that the reference's fused kernels use. */
#include "kernels/ref/act.h"
#include "kernels/ref/ref.h"

void ref_act_forward(struct device *d, float *out, const float *inp, size_t n, enum act act)
{
    for (size_t i = 0; i < n; i++)
        out[i] = ref_act(inp[i], act);
}

/* d act / dx from the output alone: leaky ReLU and ReLU keep the sign. */
static float slope(float out, enum act act)
{
    switch (act) {
    case ACT_RELU:
        return out > 0 ? 1.0f : 0.0f;
    case ACT_LEAKY:
        return out > 0 ? 1.0f : ACT_LEAKY_PERCENT * 0.01f;
    case ACT_SIGMOID:
        return (float)((double)out * (1 - (double)out));
    default:
        return 1;
    }
}

void ref_act_backward(struct device *d, float *dinp, const float *dout, const float *out, size_t n,
                      enum act act, int add)
{
    for (size_t i = 0; i < n; i++) {
        float g = dout[i] * slope(out[i], act);
        dinp[i] = add ? dinp[i] + g : g;
    }
}
