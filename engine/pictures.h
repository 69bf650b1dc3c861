/* The pictures that an inference goes through: files as they are named, folders by name; or scenes
 * of the embedded figures, which are drawn when they are read. */
#ifndef ENGINE_PICTURES_H
#define ENGINE_PICTURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datasets/picture.h"

struct pictures {
    char **path; /* count of them; of scenes: what they are called */
    size_t count;
    bool scenes; /* drawn, not read */
    uint64_t seed;
};

/* Of these files and folders (their .jpg, .jpeg, .png, in order of their names); none given:
 * those of DATA_DIR/samples, else of Debian's package darknet, else scenes of this seed, so that a
 * benchmark can run. -errno and a sentence. */
int pictures_open(struct pictures *p, const char *const *name, int nname, const char *data_dir,
                  uint64_t seed);

/* A few scenes of this seed. -ENOMEM and a sentence. */
int pictures_open_scenes(struct pictures *p, uint64_t seed);

/* Picture i, to be closed with picture_close. -errno and a sentence. */
int pictures_read(const struct pictures *p, size_t i, struct picture *out);

void pictures_close(struct pictures *p); /* also after open failed */

#endif
