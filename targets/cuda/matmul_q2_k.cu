// Matrix products with weights of type Q2_K.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(q2_k, kQ2_K)
