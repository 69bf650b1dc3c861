/* One table an instruction set: this file, like its neighbours, is compiled once for each. */
#include "kernels/cpu/cpu.h"

#define NAME_(isa) #isa
#define NAME(isa) NAME_(isa)

#define ENTRY(entry) .entry = CPU(entry),

const struct kernels CPU(kernels) = {.name = NAME(ISA), KERNELS_EACH(ENTRY)};
