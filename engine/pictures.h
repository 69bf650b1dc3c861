/* The pictures that an inference goes through: files as they are named, folders by name. */
#ifndef ENGINE_PICTURES_H
#define ENGINE_PICTURES_H

#include <stddef.h>

struct pictures {
    char **path; /* count of them */
    size_t count;
};

/* Of these files and folders (their .jpg, .jpeg, .png, in order of their names); none given:
 * DATA_DIR/samples, else where Debian's package darknet has its own. -errno and a sentence. */
int pictures_open(struct pictures *p, const char *const *name, int nname, const char *data_dir);
void pictures_close(struct pictures *p); /* also after open failed */

#endif
