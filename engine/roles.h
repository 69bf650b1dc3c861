/*
 * The five roles of the original as five settings of one struct: a role is what is missing. Nothing
 * branches on a role's name; the engine asks whether there is a listener, an upstream, a data set.
 */
#ifndef ENGINE_ROLES_H
#define ENGINE_ROLES_H

#include <stdbool.h>

struct role {
    const char *name;  /* "aio" */
    const char *suite; /* the original's word for it, "offload_source" */
    bool listens, upstream, reads_data, layers;
};

/* By its name or the original's suite; NULL if there is no such role. */
const struct role *role_find(const char *name);

/* All of them, ended by one whose name is NULL. */
const struct role *role_table(void);

#endif
