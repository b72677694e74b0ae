// Matrix products with weights of type F16.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(f16, kF16)
