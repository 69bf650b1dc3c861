/*
 * The original's compression units around a cut. On the client's side the encoder: a 3x3
 * convolution from c to c/factor channels, batch-norm and a sigmoid; on the server's the decoder: a
 * transposed 3x3 convolution back to c channels and a ReLU. They train with the rest. They are five
 * layers of their own with numbers of their own; the cut lies between the two units.
 */
#include <errno.h>

#include "base/err.h"
#include "models/build.h"

static const float codec_momentum = 0.03f, codec_eps = 1e-4f;

int codec_add(struct model *m, int channels, int factor)
{
    CHECK(factor > 0);
    if (channels % factor)
        return err_set(EINVAL,
                       "codec conv:%d: the %d channels at the cut of %s cannot be divided by %d",
                       factor, channels, m->name, factor);
    int few = channels / factor;
    int ret = model_add(m, conv2d_new(channels, few, 3, 1, 1, true, INIT_VGG), "encoder.0");
    if (ret == 0)
        ret = model_add(m, batchnorm_new(few, codec_momentum, codec_eps), "encoder.1");
    if (ret == 0)
        ret = model_add(m, activation_new(ACT_SIGMOID), "encoder.2");
    m->default_cut = m->nlayer;
    if (ret == 0)
        ret = model_add(m, conv_transpose2d_new(few, channels, 3, 1, 1), "decoder.0");
    if (ret == 0)
        ret = model_add(m, activation_new(ACT_RELU), "decoder.1");
    return ret;
}
