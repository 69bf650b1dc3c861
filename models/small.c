/*
 * The small model: a perceptron for 28x28 pictures, 784-512-256-10, named as the original's module
 * linear_relu_stack. Cut after the first ReLU.
 */
#include <errno.h>

#include "base/err.h"
#include "models/build.h"

enum { SMALL_CLASSES = 10, SMALL_CUT = 3 };

int small_build(struct model *m, const struct model_options *opt)
{
    if (opt->codec)
        return err_set(EINVAL, "small has no codec: its units are convolutions, and what crosses "
                               "small's cut has no channels; leave --codec out");
    m->classes = opt->classes ? opt->classes : SMALL_CLASSES;
    m->default_cut = SMALL_CUT;
    int ret = model_add(m, flatten_new(), "flatten");
    if (ret == 0)
        ret = model_add(m, linear_new(28 * 28, 512, INIT_PYTORCH), "linear_relu_stack.0");
    if (ret == 0)
        ret = model_add(m, activation_new(ACT_RELU), "linear_relu_stack.1");
    if (ret == 0)
        ret = model_add(m, linear_new(512, 256, INIT_PYTORCH), "linear_relu_stack.2");
    if (ret == 0)
        ret = model_add(m, activation_new(ACT_RELU), "linear_relu_stack.3");
    if (ret == 0)
        ret = model_add(m, linear_new(256, m->classes, INIT_PYTORCH), "linear_relu_stack.4");
    return ret;
}
