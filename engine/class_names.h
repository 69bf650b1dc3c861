/* What a detector's classes are called. */
#ifndef ENGINE_CLASS_NAMES_H
#define ENGINE_CLASS_NAMES_H

#include <stddef.h>

/* COCO's name where the model has its 80 classes, else "class 3", written into text. */
const char *class_name(int class, int classes, char *text, size_t text_bytes);

#endif
