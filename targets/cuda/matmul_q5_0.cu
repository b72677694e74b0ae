// Matrix products with weights of type Q5_0.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(q5_0, kQ5_0)
