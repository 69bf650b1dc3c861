/* Convolutions' products by tensor cores. */
#include "kernels/cuda/gemm_tensor.h"
#include "kernels/cuda/gemm_windows.h"

GEMM_TENSOR_PAIR(columns_operand<1>, windows_operand)
GEMM_TENSOR_PAIR(columns_operand<0>, windows_operand)
GEMM_TENSOR_PAIR(columns_operand<0>, windows_by_pixel_operand)
