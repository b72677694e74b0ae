// Matrix products with weights of type BF16.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(bf16, kBF16)
