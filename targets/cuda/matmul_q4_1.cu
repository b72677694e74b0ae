// Matrix products with weights of type Q4_1.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(q4_1, kQ4_1)
