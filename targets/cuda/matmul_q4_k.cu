// Matrix products with weights of type Q4_K.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(q4_k, kQ4_K)
