/* `convert`: a darknet model's weights between .safetensors and darknet's own .weights; the names
 * of the files say which is which. */
#include <errno.h>
#include <stddef.h>

#include "base/err.h"
#include "engine/command.h"
#include "engine/setup.h"
#include "models/weights.h"

static int load_and_save(struct model *m, struct device *dev, const struct config *c)
{
    const char *in = c->part_file[0], *out = c->part_file[1];
    int cutoff = weights_cutoff(in), ret = model_bind(m, dev, RUN_EVAL, MODEL_GRADS_NONE);
    if (!ret && cutoff)
        model_init(m, c->seed);
    if (!ret)
        ret = weights_load(m, in);
    if (!ret && cutoff)
        setup_say(c, "%s holds layers 0:%d, the weights of those behind are fresh", in, cutoff);
    if (!ret)
        ret = weights_save(m, out);
    if (!ret)
        setup_say(c, "Converted %s to %s", in, out);
    return setup_not_words(ret);
}

int cmd_convert(const struct config *c)
{
    if (c->npart_file != 2 || !c->model)
        return err_set(EINVAL, "convert wants two files and a model: sparse-engine convert IN OUT "
                               "--model M");
    struct model *m;
    struct device *dev = NULL;
    int ret = setup_model(&m, c);
    if (ret < 0)
        return ret;
    ret = setup_not_words(weights_writable(c->part_file[1]));
    if (!ret)
        ret = setup_not_words(device_cpu_open(&dev, 1, "auto"));
    if (!ret)
        ret = load_and_save(m, dev, c);
    model_close(m);
    device_close(dev);
    return ret;
}
