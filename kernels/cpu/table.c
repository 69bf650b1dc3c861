/* One table an instruction set: this file, like its neighbours, is compiled once for each. */
#include "kernels/cpu/cpu.h"

#define NAME_(isa) #isa
#define NAME(isa) NAME_(isa)

const struct kernels CPU(kernels) = {
    .name = NAME(ISA),
    .gemm = CPU(gemm),
    .gemm_work = CPU(gemm_work),
    .linear_forward = CPU(linear_forward),
    .linear_backward_data = CPU(linear_backward_data),
    .linear_backward_weights = CPU(linear_backward_weights),
    .linear_work = CPU(linear_work),
    .conv2d_forward = CPU(conv2d_forward),
    .conv2d_backward_data = CPU(conv2d_backward_data),
    .conv2d_backward_weights = CPU(conv2d_backward_weights),
    .conv2d_work = CPU(conv2d_work),
    .conv_transpose2d_forward = CPU(conv_transpose2d_forward),
    .conv_transpose2d_backward_data = CPU(conv_transpose2d_backward_data),
    .conv_transpose2d_backward_weights = CPU(conv_transpose2d_backward_weights),
    .conv_transpose2d_work = CPU(conv_transpose2d_work),
    .act_forward = CPU(act_forward),
    .act_backward = CPU(act_backward),
};
