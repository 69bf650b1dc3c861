/*
 * VGG (Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition",
 * 2015) without batch-norm, as torchvision defines it, on 3x32x32 pictures: configurations A, D and
 * E. Names of layers and parameters are torchvision's. The default cut lies after the second
 * max-pool; a codec's units stand there and keep all other names as they are.
 */
#include <stdio.h>

#include "models/build.h"

enum {
    POOL = -1, /* in a configuration: a max-pool; other numbers are a convolution's channels */
    VGG_CLASSES = 1000,
    VGG_HIDDEN = 4096,
    VGG_POOLED = 7,
    VGG_POOLS = 5,
    VGG_POOLS_BEFORE_CUT = 2,
};

static const int config_a[] = {64,  POOL, 128,  POOL, 256, 256,  POOL,
                               512, 512,  POOL, 512,  512, POOL, 0};
static const int config_d[] = {64,  64,  POOL, 128,  128, POOL, 256, 256,  256, POOL,
                               512, 512, 512,  POOL, 512, 512,  512, POOL, 0};
static const int config_e[] = {64,  64,  POOL, 128, 128,  POOL, 256, 256, 256, 256,  POOL,
                               512, 512, 512,  512, POOL, 512,  512, 512, 512, POOL, 0};

static int add_feature(struct model *m, struct layer *l, int *feature)
{
    char name[LAYER_NAME_BYTES];
    snprintf(name, sizeof(name), "features.%d", (*feature)++);
    return model_add(m, l, name);
}

static int add_features(struct model *m, const int config[], int codec)
{
    int channels = m->in.dim[1], feature = 0, pools = 0, ret = 0;
    for (int i = 0; config[i] && ret == 0; i++) {
        if (config[i] != POOL) {
            ret =
                add_feature(m, conv2d_new(channels, config[i], 3, 1, 1, true, INIT_VGG), &feature);
            channels = config[i];
            if (ret == 0)
                ret = add_feature(m, activation_new(ACT_RELU), &feature);
            continue;
        }
        ret = add_feature(m, maxpool_new(2, 2, 0, 0), &feature);
        if (ret == 0 && ++pools == VGG_POOLS_BEFORE_CUT) {
            m->default_cut = m->nlayer;
            if (codec)
                ret = codec_add(m, channels, codec);
        }
    }
    return ret;
}

/* A hidden layer of the classifier: `linear`, which may be NULL, ReLU, dropout. */
static int add_hidden(struct model *m, struct layer *linear, float dropout, int first)
{
    char name[LAYER_NAME_BYTES];
    snprintf(name, sizeof(name), "classifier.%d", first);
    int ret = model_add(m, linear, name);
    snprintf(name, sizeof(name), "classifier.%d", first + 1);
    if (ret == 0)
        ret = model_add(m, activation_new(ACT_RELU), name);
    snprintf(name, sizeof(name), "classifier.%d", first + 2);
    if (ret == 0)
        ret = model_add(m, dropout_new(dropout), name);
    return ret;
}

/* At 32 x 32 the features end in a 1 x 1 map, which the average pool only repeats. */
static struct layer *first_linear(const struct model *m, const struct model_options *opt)
{
    int map = m->in.dim[2] >> VGG_POOLS;
    if (map == 1 && m->in.dim[3] >> VGG_POOLS == 1 && !opt->unfolded)
        return linear_repeated_new(512, VGG_POOLED, VGG_POOLED, VGG_HIDDEN, INIT_VGG);
    return linear_new(512 * VGG_POOLED * VGG_POOLED, VGG_HIDDEN, INIT_VGG);
}

static int vgg_build(struct model *m, const int config[], const struct model_options *opt)
{
    m->classes = opt->classes ? opt->classes : VGG_CLASSES;
    int ret = add_features(m, config, opt->codec);
    if (ret == 0)
        ret = model_add(m, avgpool_new(VGG_POOLED, VGG_POOLED), "avgpool");
    if (ret == 0)
        ret = model_add(m, flatten_new(), "flatten");
    if (ret == 0)
        ret = add_hidden(m, first_linear(m, opt), opt->dropout, 0);
    if (ret == 0)
        ret = add_hidden(m, linear_new(VGG_HIDDEN, VGG_HIDDEN, INIT_VGG), opt->dropout, 3);
    if (ret == 0)
        ret = model_add(m, linear_new(VGG_HIDDEN, m->classes, INIT_VGG), "classifier.6");
    return ret;
}

int vgg11_build(struct model *m, const struct model_options *opt)
{
    return vgg_build(m, config_a, opt);
}

int vgg16_build(struct model *m, const struct model_options *opt)
{
    return vgg_build(m, config_d, opt);
}

int vgg19_build(struct model *m, const struct model_options *opt)
{
    return vgg_build(m, config_e, opt);
}
