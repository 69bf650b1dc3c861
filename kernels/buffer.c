/* Buffers: host places come from the kernel directly, PLACE_DEVICE from the device. */
#include "kernels/buffer.h"

#include <string.h>

#include "base/err.h"
#include "kernels/host_memory.h"

static int open_pinned(struct buffer *b, size_t bytes)
{
    const struct device_ops *ops = b->dev->ops;
    int ret = host_memory_map(&b->base, bytes);
    if (ret < 0)
        return ret;
    host_memory_dont_fork(b->base, bytes);
    ret = ops->pin ? ops->pin(b->dev, b->base, bytes) : 0;
    if (ret == 0)
        return 0;
    host_memory_unmap(b->base, bytes);
    if (!ops->pinned_alloc)
        return ret;
    b->drivers = 1;
    return ops->pinned_alloc(b->dev, &b->base, bytes);
}

int buffer_open(struct buffer *b, struct device *dev, enum place place, size_t bytes,
                const char *what)
{
    *b = (struct buffer){.dev = dev, .place = place};
    if (bytes == 0)
        return 0;
    int ret = place == PLACE_DEVICE   ? dev->ops->alloc(dev, &b->base, bytes)
              : place == PLACE_PINNED ? open_pinned(b, bytes)
                                      : host_memory_map(&b->base, bytes);
    if (ret < 0) {
        *b = (struct buffer){0};
        return err_prefix(ret, "%s", what);
    }
    b->bytes = bytes;
    return 0;
}

void buffer_close(struct buffer *b)
{
    if (b->base && b->place == PLACE_DEVICE) {
        b->dev->ops->free(b->dev, b->base, b->bytes);
    } else if (b->base && b->drivers) {
        b->dev->ops->pinned_free(b->dev, b->base, b->bytes);
    } else if (b->base) {
        if (b->place == PLACE_PINNED && b->dev->ops->unpin)
            b->dev->ops->unpin(b->dev, b->base, b->bytes);
        host_memory_unmap(b->base, b->bytes);
    }
    memset(b, 0, sizeof(*b));
}
