// Matrix products with weights of type Q3_K.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(q3_k, kQ3_K)
