/* VmHWM, not getrusage: that counts the image before exec too. */
#include "engine/process.h"

#include <stdio.h>

size_t process_peak_bytes(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    size_t kib = 0;
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "VmHWM: %zu", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib * 1024;
}
