/*
 * The reference backend: plain loops, one thread, no contraction, double for long sums. It is what
 * every other backend is compared with, and never what a user runs. ref_NAME is the entry NAME of
 * struct kernels.
 */
#ifndef KERNELS_REF_REF_H
#define KERNELS_REF_REF_H

#include "kernels/entries.h"

#define REF_DECLARE(entry) KERNEL_TYPE(entry) ref_##entry;
KERNELS_EACH(REF_DECLARE)
#undef REF_DECLARE

extern const struct kernels kernels_ref;

#endif
