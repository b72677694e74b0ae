// Matrix products with weights of type Q4_0.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(q4_0, kQ4_0)
