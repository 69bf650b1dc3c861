/* One table an instruction set: this file, like its neighbours, is compiled once for each. */
#include "kernels/cpu/cpu.h"

#define NAME_(isa) #isa
#define NAME(isa) NAME_(isa)

const struct kernels CPU(kernels) = {
    .name = NAME(ISA),
    .act_forward = CPU(act_forward),
    .act_backward = CPU(act_backward),
};
