/* libFuzzer: any bytes as a safetensors file. What opening accepts can be read. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "models/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("safetensors", 0);
        CHECK(fd >= 0);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);

    struct safetensors st;
    int ret = safetensors_open(&st, path);
    CHECK(ret == 0 || (ret < 0 && err_text()[0]));
    for (size_t i = 0; ret == 0 && i < st.ntensor; i++) {
        const struct safetensors_tensor *t = &st.tensor[i];
        CHECK(t->offset <= size && t->bytes <= size - t->offset);
        CHECK(safetensors_find(&st, t->name) == t);
        char *bytes = malloc(t->bytes + 1);
        CHECK(bytes && safetensors_read(&st, t, 0, bytes, t->bytes) == 0);
        free(bytes);
    }
    safetensors_close(&st);
    return 0;
}
