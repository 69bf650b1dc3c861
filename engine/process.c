/* VmHWM, not getrusage: that counts the image before exec too. */
#include "engine/process.h"

#include <stdio.h>

/* The number of a "Name: 123 kB" line. */
static size_t kib_of(const char *path, const char *format)
{
    FILE *f = fopen(path, "re");
    char line[256];
    size_t kib = 0;
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, format, &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

size_t process_peak_bytes(void)
{
    return kib_of("/proc/self/status", "VmHWM: %zu") * 1024;
}

size_t process_available_bytes(void)
{
    return kib_of("/proc/meminfo", "MemAvailable: %zu") * 1024;
}
