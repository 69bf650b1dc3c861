/* The table of roles. */
#include "engine/roles.h"

#include <stddef.h>
#include <string.h>

static const struct role table[] = {
    {"aio", "aio", .reads_data = true, .layers = true},
    {"source", "offload_source", .upstream = true, .reads_data = true},
    {"client", "offload_client", .upstream = true, .reads_data = true, .layers = true},
    {"intermediate", "offload_intermediate", .listens = true, .upstream = true, .layers = true},
    {"final", "offload_final", .listens = true, .layers = true},
    {.name = NULL},
};

const struct role *role_table(void)
{
    return table;
}

const struct role *role_find(const char *name)
{
    for (const struct role *r = table; r->name; r++)
        if (!strcmp(name, r->name) || !strcmp(name, r->suite))
            return r;
    return NULL;
}
