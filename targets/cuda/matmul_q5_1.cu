// Matrix products with weights of type Q5_1.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(q5_1, kQ5_1)
