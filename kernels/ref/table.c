/* The reference backend's table. */
#include "kernels/ref/ref.h"

#define ENTRY(entry) .entry = ref_##entry,

const struct kernels kernels_ref = {.name = "reference", KERNELS_EACH(ENTRY)};
