/* Buffers: host places come from the kernel directly, PLACE_DEVICE from the device. */
#include "kernels/buffer.h"

#include <string.h>

#include "base/err.h"
#include "kernels/host_memory.h"

int buffer_open(struct buffer *b, struct device *dev, enum place place, size_t bytes,
                const char *what)
{
    *b = (struct buffer){.dev = dev, .place = place};
    if (bytes == 0)
        return 0;
    int ret = place == PLACE_DEVICE ? dev->ops->alloc(dev, &b->base, bytes)
                                    : host_memory_map(&b->base, bytes);
    if (ret < 0)
        return err_prefix(ret, "%s", what);
    b->bytes = bytes;
    if (place != PLACE_PINNED)
        return 0;

    host_memory_dont_fork(b->base, bytes);
    if (dev->ops->pin) {
        ret = dev->ops->pin(dev, b->base, bytes);
        if (ret < 0) {
            host_memory_unmap(b->base, bytes);
            *b = (struct buffer){0};
            return err_prefix(ret, "%s", what);
        }
    }
    return 0;
}

void buffer_close(struct buffer *b)
{
    if (b->base) {
        if (b->place == PLACE_PINNED && b->dev->ops->unpin)
            b->dev->ops->unpin(b->dev, b->base, b->bytes);
        if (b->place == PLACE_DEVICE)
            b->dev->ops->free(b->dev, b->base, b->bytes);
        else
            host_memory_unmap(b->base, b->bytes);
    }
    memset(b, 0, sizeof(*b));
}
