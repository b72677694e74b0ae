// Matrix products with weights of type Q6_K.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(q6_k, kQ6_K)
