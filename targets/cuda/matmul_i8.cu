// Matrix products with weights of type I8, which have a scale for each row.
#include "targets/cuda/matmul_launch.cuh"

MOTE_MATMUL_OF(i8, kI8Row)
