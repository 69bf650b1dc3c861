/* Parts of a parameter, over a device's memory that may be out of reach. */
#include "models/param_io.h"

#include "base/err.h"

static size_t part_of(size_t left)
{
    return left < PARAM_BLOCK_BYTES ? left : PARAM_BLOCK_BYTES;
}

int param_load(const struct model *m, const struct param *p, void *block, param_part_fn *read,
               void *arg)
{
    size_t total = tensor_bytes(&p->value);
    if (p->value.place != PLACE_DEVICE)
        return read(arg, 0, p->value.data, total);
    CHECK(m->dev);
    for (size_t at = 0; at < total; at += PARAM_BLOCK_BYTES) {
        size_t bytes = part_of(total - at);
        int ret = read(arg, at, block, bytes);
        if (ret < 0)
            return ret;
        m->dev->ops->copy(m->dev, (char *)p->value.data + at, block, bytes);
        ret = device_sync(m->dev);
        if (ret < 0)
            return ret;
    }
    return 0;
}

int param_save(const struct model *m, const struct param *p, void *block, param_part_fn *write,
               void *arg)
{
    size_t total = tensor_bytes(&p->value);
    if (p->value.place != PLACE_DEVICE)
        return write(arg, 0, p->value.data, total);
    CHECK(m->dev);
    for (size_t at = 0; at < total; at += PARAM_BLOCK_BYTES) {
        size_t bytes = part_of(total - at);
        m->dev->ops->copy(m->dev, block, (const char *)p->value.data + at, bytes);
        int ret = device_sync(m->dev);
        if (ret == 0)
            ret = write(arg, at, block, bytes);
        if (ret < 0)
            return ret;
    }
    return 0;
}
