// Matrix products with weights of type Q8_0.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(q8_0, kQ8_0)
