/* What a detector's classes are called. */
#ifndef ENGINE_CLASS_NAMES_H
#define ENGINE_CLASS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "models/model.h"

/* True for shapes-yolo, by its name: its classes are the figures of the embedded pictures. */
bool class_names_figures(const struct model *m);

/* A figure's name; COCO's where the model has its 80 classes; else "class 3", written into text. */
const char *class_name(const struct model *m, int class, char *text, size_t text_bytes);

#endif
