// Matrix products with weights of type Q5_K.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(q5_k, kQ5_K)
