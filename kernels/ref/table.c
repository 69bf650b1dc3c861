/* The reference backend's table. */
#include "kernels/ref/ref.h"

const struct kernels kernels_ref = {
    .name = "reference",
};
