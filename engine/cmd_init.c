/* `init`: fresh weights into a file, those that a run with this seed would begin with. */
#include <errno.h>
#include <stddef.h>

#include "base/err.h"
#include "engine/command.h"
#include "engine/setup.h"
#include "models/weights.h"

static int init_and_save(struct model *m, struct device *dev, const struct config *c)
{
    int ret = model_bind(m, dev, RUN_EVAL, MODEL_GRADS_NONE);
    if (!ret) {
        model_init(m, c->seed);
        ret = device_sync(dev);
    }
    if (!ret)
        ret = weights_save(m, c->save);
    if (!ret)
        setup_say(c, "Saved the weights to %s", c->save);
    return setup_not_words(ret);
}

int cmd_init(const struct config *c)
{
    if (!c->model || !c->save)
        return err_set(EINVAL, "init wants a model and a file: give --model M and --save FILE");
    struct model *m;
    struct device *dev = NULL;
    int ret = setup_model(&m, c);
    if (ret < 0)
        return ret;
    ret = setup_not_words(weights_writable(c->save));
    if (!ret)
        ret = setup_device(&dev, c);
    if (!ret)
        ret = init_and_save(m, dev, c);
    model_close(m);
    device_close(dev);
    return ret;
}
