/* The socket's name, as the original has it. */
#include "monitor/address.h"

#include <errno.h>
#include <stdio.h>

#include "base/err.h"

int monitor_address(struct sockaddr_un *a, const char *data_dir)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(a->sun_path, sizeof(a->sun_path), "%s/sparse-benchmark.sock", data_dir);
    if (n < 0 || (size_t)n >= sizeof(a->sun_path))
        return err_set(
            ENAMETOOLONG,
            "the monitor's socket in %s has a name of %d bytes, a socket's may have %zu: "
            "give a shorter --data-dir, or a relative one",
            data_dir, n, sizeof(a->sun_path) - 1);
    return 0;
}
